"""HTML pages that hold all they need: scripts and style, charts as data, and how a page is written."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from hbsim.bench.chart_style import VEGA_LITE, Chart, theme
from hbsim.errors import OutputError


def asset(name: str) -> str:
    """Return the text of a file in ``hbsim/bench/assets``."""
    return files("hbsim.bench").joinpath("assets", name).read_text(encoding="utf-8")


def template(name: str) -> Template:
    """Return a template of the assets, which escapes what it is given."""
    environment = Environment(
        loader=PackageLoader("hbsim.bench", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(name)


def frame() -> dict[str, object]:
    """Return what each template needs of a page: themes, style, scripts and policy."""
    scripts = [_bundle(), asset("page.js")]
    return {
        "themes": _json({"light": theme(), "dark": theme(dark=True)}),
        "style": asset("page.css"),
        "scripts": scripts,
        "policy": _policy(scripts),
    }


@cache
def _bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    # A browser normalises line ends before it hashes a script for the policy.
    text = (
        vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", VEGA_LITE)
        .replace("\r\n", "\n")
        .replace("\r", "\n")
    )
    text = text.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return f"(function(){{{text}\n}})();"


def _policy(scripts: Iterable[str]) -> str:
    """Return the content security policy: these scripts, the page's own styles and pictures; no network."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(content: object) -> str:
    """Return JSON that is safe within a script element."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def packed(content: Mapping[str, object]) -> str:
    """Pack charts for the page's script: JSON, deflated, in characters that need no escape."""
    return base64.b64encode(zlib.compress(_json(content).encode(), 9)).decode()


def specs(charts: Mapping[str, Chart]) -> dict[str, object]:
    """Return charts without their titles, which the page shows itself."""
    made: dict[str, object] = {}
    for name, chart in charts.items():
        spec = chart.to_dict(validate=False)
        for part in ("title", "config", "$schema"):
            spec.pop(part, None)
        made[name] = spec
    return made


def write_page(page: str, out: Path) -> None:
    """Write a page; on an error an earlier page is kept.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    temporary = out.with_name(f".{out.name}.hbsim")
    try:
        temporary.write_text(page, "utf-8")
        os.replace(temporary, out)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(str(out), f"cannot be written: {error.strerror or error}") from error
