"""The options of executors on other machines, rule by rule."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import hbsim
from hbsim.errors import ParameterError
from hbsim.executors.remote.options import LEASE, Dask, HostAddress, Hosts, parse_host

TLS = "tls://gpu1:8786"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.pem"
    path.write_text("")
    return path


def refused(kind: type, field: str, rule: str, **given: object) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        kind(**given)
    assert caught.value.field == field
    assert rule in caught.value.rule
    return caught.value


def on_host(**given: object) -> Hosts:
    return Hosts(["a"], **given)


def test_defaults():
    assert (hbsim.Hosts, hbsim.Dask) == (Hosts, Dask)
    for options in (Dask(), Hosts(["a"])):
        assert (options.send, options.storage, options.lease) == ("file", "auto", LEASE)
        with pytest.raises(FrozenInstanceError):
            options.lease = 3.0


def test_values_are_kept_as_they_were_given(file):
    given = {"ssh_user": "me", "ssh_port": 2222, "ssh_python": "/opt/python", "ssh_key": str(file)}
    given |= {"ssh_timeout": 60, "ssh_known_hosts": file}
    given |= {"send": "folder", "storage": "s3://bucket/path", "lease": 2}
    options = Hosts(("a", "10.0.0.1"), **given)
    assert {name: getattr(options, name) for name in given} == given
    assert options.hosts == ("a", "10.0.0.1")
    files = {"tls_ca": file, "tls_cert": file, "tls_key": file}
    assert Dask(TLS, **files) == Dask(scheduler_address=TLS, **files)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("gpu1", (None, "gpu1", None)),
        ("me@gpu1", ("me", "gpu1", None)),
        ("me@gpu-1.lab:2222", ("me", "gpu-1.lab", 2222)),
        ("10.0.0.1:22", (None, "10.0.0.1", 22)),
        ("fe80::1%eth0", (None, "fe80::1%eth0", None)),
        ("[::1]", (None, "::1", None)),
        ("me@[::1]:22", ("me", "::1", 22)),
    ],
)
def test_parts_of_a_host(text, parts):
    assert parse_host(text) == HostAddress(*parts)
    assert Hosts([text]).hosts == (text,)


BAD_HOSTS = [
    "",
    "-oProxyCommand=x",
    "a b",
    "a;b",
    "ssh://a",
    "a\n",
    "@a",
    "-u@a",
    "a:",
    "a:0",
    "a:65536",
    "[a]:1",
    7,
    None,
]


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_host_is_a_name_or_an_address(host):
    assert refused(Hosts, "hosts", "must be a name or an address", hosts=["a", host]).value == host


@pytest.mark.parametrize("hosts", ["a,b", b"a", 5, None, {"a": 1}, []])
def test_hosts_are_a_list(hosts):
    assert refused(Hosts, "hosts", "must be a list of names", hosts=hosts).value == hosts
    refused(Hosts, "hosts", "must be a list of names")


def test_a_host_that_is_given_twice_counts_once():
    assert Hosts(["a", "b", "a", "A"]).hosts == ("a", "b")
    assert Hosts(["a", "me@a:22", "you@a", "a:23"], ssh_user="me", ssh_port=22).hosts == (
        "a",
        "you@a",
        "a:23",
    )


@pytest.mark.parametrize("address", [TLS, "tcp://127.0.0.1:1", "tcp://[::1]:8786"])
def test_addresses_of_schedulers(address):
    assert Dask(address).scheduler_address == address


NO_PORT = ["gpu1:8786", "http://gpu1:1", "TCP:gpu1:1", "tcp://", "tcp://gpu1", "tls://:8786", "tcp://a:x"]
NO_ADDRESS = ["tcp://a:65536", "tcp://a:0", "tcp://a:1/path", "tcp://[::1:1", "", 8786, b"tcp://a:1"]


@pytest.mark.parametrize("address", [*NO_PORT, *NO_ADDRESS])
def test_bad_addresses_of_schedulers(address):
    rule = "must be the address of a Dask scheduler"
    assert refused(Dask, "scheduler_address", rule, scheduler_address=address).value == address


@pytest.mark.parametrize(
    ("kind", "name", "rule"),
    [(Dask, "hosts", "It takes scheduler_address,"), (Hosts, "scheduler_address", "It takes hosts,")],
)
def test_an_option_of_another_class(kind, name, rule):
    given = {"hosts": ["a"], "scheduler_address": TLS}
    refused(kind, name, f"is no option of {kind.__name__}.", **given)
    assert refused(kind, name, rule, **given).value == given[name]


@pytest.mark.parametrize("port", [0, -1, 65536, 22.0, "22", True])
def test_ports(port):
    refused(on_host, "ssh_port", "must be a port, from 1 to 65535", ssh_port=port)


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), "5", True])
def test_ssh_timeout_is_seconds(seconds):
    refused(on_host, "ssh_timeout", "must be", ssh_timeout=seconds)


@pytest.mark.parametrize("name", ["ssh_user", "ssh_python"])
@pytest.mark.parametrize("value", ["", 5])
def test_texts(name, value):
    refused(on_host, name, "must be a text that is not empty", **{name: value})


@pytest.mark.parametrize("name", ["ssh_key", "ssh_known_hosts"])
def test_files_for_ssh_exist(name, tmp_path, monkeypatch):
    for value in (tmp_path / "absent", str(tmp_path), "", 5):
        refused(on_host, name, "must be a file that exists", **{name: value})
    (tmp_path / "mine").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert getattr(on_host(**{name: "~/mine"}), name) == "~/mine"


@pytest.mark.parametrize("name", ["tls_ca", "tls_cert", "tls_key"])
def test_certificates_come_together_and_need_tls(name, file):
    files = {"tls_ca": file, "tls_cert": file, "tls_key": file}
    for address in (None, "tcp://a:1"):
        rule = "needs a scheduler_address with tls://"
        refused(Dask, name, rule, scheduler_address=address, **{name: file})
    refused(Dask, name, "must be a file that exists", scheduler_address=TLS, **files | {name: "absent"})
    del files[name]
    refused(Dask, name, f"is needed with {min(files)}: give all three", scheduler_address=TLS, **files)


@pytest.mark.parametrize("kind", [Dask, on_host])
@pytest.mark.parametrize("send", ["folders", "", None, 5, ["file"]])
def test_send(kind, send):
    rule = refused(kind, "send", "must be one of file, folder", send=send).rule
    assert rule.endswith(" Did you mean 'folder'?") is (send == "folders")


@pytest.mark.parametrize("storage", ["auto", "shared", "pull", "s3://b/p", "simplecache::s3://b"])
def test_storages(storage):
    assert Dask(storage=storage).storage == storage


@pytest.mark.parametrize("kind", [Dask, on_host])
@pytest.mark.parametrize("storage", ["share", "/nfs/trials", "s3:bucket", "://bucket", "", None, 5])
def test_bad_storages(kind, storage):
    rule = refused(kind, "storage", "must be auto, shared, pull or a URL", storage=storage).rule
    assert rule.endswith(" Did you mean 'shared'?") is (storage == "share")


@pytest.mark.parametrize("lease", [0, 1.99, -5, float("nan"), float("inf"), "30", None, True])
def test_a_lease_is_a_number_of_seconds(lease):
    refused(Dask, "lease", "must be", lease=lease)
