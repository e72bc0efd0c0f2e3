"""What checkpoints hold: it comes back alike, what cannot is named, and damage is an error, nothing worse."""

import collections
import enum
import importlib.util
import json
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from hbsim.errors import OutputError, ParameterError
from hbsim.executors import checkpoint, checkpoint_values
from tests.doubles.checkpoints import describe_newest, load_newest
from tests.profile import examples

WITH_TORCH = importlib.util.find_spec("torch") is not None


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("trial") / "checkpoint"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "trial" / "checkpoint"


def alike(a, b):
    """Whether two values are the same, types and bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        more = (getattr(a, "default_factory", None), getattr(a, "__dict__", None))
        return (
            more == (getattr(b, "default_factory", None), getattr(b, "__dict__", None))
            and len(a) == len(b)
            and all(alike(x, y) for pair in zip(a.items(), b.items(), strict=True) for x, y in [pair])
        )
    if isinstance(a, set | frozenset):
        return sorted(map(repr, a)) == sorted(map(repr, b))
    if isinstance(a, list | tuple | collections.deque):
        same_room = getattr(a, "maxlen", None) == getattr(b, "maxlen", None)
        return same_room and len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, np.ndarray):
        return (
            (a.dtype, a.dtype.str, a.shape) == (b.dtype, b.dtype.str, b.shape)
            and a.tobytes("A") == b.tobytes("A")
            and a.flags.f_contiguous == b.flags.f_contiguous
        )
    if isinstance(a, np.generic) and not isinstance(a, np.str_ | np.bytes_):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if WITH_TORCH and type(a).__module__.startswith("torch"):
        return alike_in_torch(a, b)
    return repr(a) == repr(b)


def alike_in_torch(a, b):
    import torch

    if not isinstance(a, torch.Tensor):
        return a == b
    shapes = (a.dtype, a.shape, a.requires_grad) == (b.dtype, b.shape, b.requires_grad)
    return shapes and as_bytes(a) == as_bytes(b)


def as_bytes(tensor):
    import torch

    plain = tensor.detach().resolve_conj().clone(memory_format=torch.contiguous_format).flatten()
    return plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""


# What comes back


TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
DTYPES = st.one_of(
    npst.scalar_dtypes(),
    npst.unicode_string_dtypes(),
    npst.byte_string_dtypes(),
    npst.nested_dtypes(max_leaves=4),
)
ARRAYS = npst.arrays(
    DTYPES,
    npst.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4),
    elements=None,
)
ARRAYS = st.builds(lambda array, turned: array.T if turned else array, ARRAYS, st.booleans())
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([1 << 64, -(1 << 64), 1 << 200]),
    st.floats(),
    st.complex_numbers(),
    TEXT,
    st.binary(max_size=8),
)
KEYS = SCALARS.filter(lambda key: key == key) | st.tuples(st.integers(), TEXT) | st.just("$dict")
LEAVES = [
    SCALARS,
    st.binary(max_size=8).map(bytearray),
    ARRAYS,
    ARRAYS.map(lambda a: a.flat[0] if a.size else 0),
]


def of_torch():
    """Return tensors of all kinds of numbers and layouts."""
    import torch

    kinds = [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.uint16, torch.bool]
    kinds += [torch.float64, torch.float16, torch.complex64, torch.int8]
    bases = st.builds(
        lambda kind, shape, seed: torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(kind),
        st.sampled_from(kinds),
        npst.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4),
        st.integers(0, 9),
    )
    views = [
        lambda tensor: tensor,
        lambda tensor: tensor.movedim(0, -1) if tensor.ndim else tensor,
        lambda tensor: tensor[::2] if tensor.ndim else tensor,
        lambda tensor: tensor[..., -1:] if tensor.ndim else tensor,
        lambda tensor: tensor.expand(2, *tensor.shape),
        lambda tensor: tensor.conj(),
        lambda tensor: tensor.requires_grad_() if tensor.is_floating_point() else tensor,
        lambda tensor: torch.nn.Parameter(tensor, requires_grad=tensor.is_floating_point()),
    ]
    some = st.sampled_from([torch.Size([2, 3]), torch.bfloat16, torch.device("cuda:1")])
    return st.builds(lambda view, base: view(base), st.sampled_from(views), bases) | some


if WITH_TORCH:
    LEAVES.append(st.deferred(of_torch))


def nested(inner):
    """Return containers of what is in them."""
    dicts = st.dictionaries(KEYS, inner, max_size=3)
    return st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(TEXT, inner, max_size=3),
        dicts,
        dicts.map(collections.OrderedDict),
        dicts.map(lambda obj: collections.defaultdict(list, obj)),
        st.builds(lambda items: collections.deque(items, 5), st.lists(inner, max_size=3)),
        st.sets(KEYS, max_size=3),
        st.frozensets(KEYS, max_size=3),
        st.lists(TEXT).map(collections.Counter),
    )


@given(obj=st.recursive(st.one_of(LEAVES), nested, max_leaves=8).filter(lambda obj: obj is not None))
@settings(max_examples=examples(60), deadline=None)
def test_whatever_is_saved_comes_back_alike(place, obj):
    checkpoint.save(place, obj)
    assert describe_newest(place)["kind"] == "values"
    assert alike(load_newest(place), obj)


def test_states_of_random_number_generators_come_back(folder):
    state = {
        "python": random.Random(3).getstate(),
        "legacy": np.random.RandomState(3).get_state(),
        "new": np.random.default_rng(3).bit_generator.state,
    }
    checkpoint.save(folder, state)
    back = load_newest(folder)
    assert alike(back, state)
    fresh = np.random.default_rng(0)
    fresh.bit_generator.state = back["new"]
    assert fresh.random() == np.random.default_rng(3).random()


def test_an_int_that_python_does_not_print_comes_back(folder):
    state = {1 << 20_000: -(1 << 20_000)}
    checkpoint.save(folder, state)
    assert load_newest(folder) == state
    with pytest.raises(ParameterError, match=r"checkpoint.a key of type int."):
        checkpoint.save(folder, {1 << 20_000: object()})


def test_arrays_are_ones_own(folder):
    checkpoint.save(folder, {"a": np.zeros(3), "b": bytearray(3)})
    back = load_newest(folder)
    checkpoint.save(folder, 1)
    back["a"] += 1
    assert back["a"].tolist() == [1, 1, 1]


def test_nothing_of_this_imports_pytorch(folder):
    code = """if True:
        import sys
        import numpy as np
        from hbsim.executors import checkpoint, checkpoint_values
        from hbsim.errors import ParameterError
        state = {"a": np.ones(3), "b": (1, np.float64(2), b"3"), "c": {4: float("nan")}}
        checkpoint.save(sys.argv[1], state)
        assert checkpoint.load_own(sys.argv[1], None).value["a"].tolist() == [1, 1, 1]
        try:
            checkpoint.save(sys.argv[1], {"a": object()})
        except ParameterError as error:
            assert error.field == "checkpoint['a']"
        else:
            raise AssertionError
        assert "torch" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)


def test_tensors_without_pytorch_are_one_clear_line(folder, monkeypatch):
    torch = pytest.importorskip("torch")
    checkpoint.save(folder, {"weights": torch.ones(2)})
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(OutputError, match=r"the checkpoint holds tensors: .*torch"):
        load_newest(folder)


# PyTorch


def test_a_model_and_its_optimizer_come_back(folder):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}
    checkpoint.save(folder, {**state, "epoch": 3})
    back = load_newest(folder)
    assert alike(back, {**state, "epoch": 3})
    assert back["model"]._metadata == state["model"]._metadata
    fresh = torch.optim.Adam(model.parameters(), lr=0.5)
    fresh.load_state_dict(back["optimizer"])
    assert fresh.param_groups[0]["lr"] == 0.1


def test_tied_weights_stay_tied_and_are_kept_once(folder):
    torch = pytest.importorskip("torch")
    weight = torch.randn(100, 100)
    checkpoint.save(folder, {"in": weight, "out": weight.T, "row": weight[3], "other": weight.clone()})
    assert size_of(folder) < 2.1 * weight.nbytes
    back = load_newest(folder)
    back["in"][3] = 7
    assert torch.equal(back["out"][:, 3], torch.full((100,), 7.0))
    assert torch.equal(back["row"], torch.full((100,), 7.0))
    assert torch.equal(back["other"], weight)


def test_the_rest_of_the_memory_is_left_out(folder):
    torch = pytest.importorskip("torch")
    data = torch.randn(1000, 100)
    state = {"first": data[:2], "last": data[-2:], "column": data[:, 0], "turned": data[:5].T}
    checkpoint.save(folder, state)
    assert size_of(folder) < 10_000
    back = load_newest(folder)
    assert alike(back, state)
    assert back["turned"].stride() == state["turned"].stride()


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# What cannot be kept


class Mine:
    pass


class Model:
    def state_dict(self):
        return {}


class Table:
    def __array__(self):
        return np.zeros(2)


class Level(enum.IntEnum):
    LOW = 1


Point = collections.namedtuple("Point", "x")
ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("obj", "where", "kind", "rule"),
    [
        (Mine(), "checkpoint", f"{__name__}.Mine", "hold None, numbers, "),
        (
            {"model": {"net": Model()}},
            "checkpoint['model']['net']",
            f"{__name__}.Model",
            "save its state_dict",
        ),
        ([1, {"a": Table()}], "checkpoint[1]['a']", f"{__name__}.Table", "numpy.asarray"),
        ({"f": (1, lambda: None)}, "checkpoint['f'][1]", "function", "NumPy arrays and PyTorch tensors"),
        ({3: Point(1)}, "checkpoint[3]", f"{__name__}.Point", "tuple(...)"),
        ({"a": {Level.LOW: 1}}, "checkpoint['a'], a key", f"{__name__}.Level", "int(...)"),
        ({"a": [np.array([None])]}, "checkpoint['a'][0]", "numpy.ndarray", "array of Python objects"),
        (np.ma.ones(2), "checkpoint", "numpy.ma.MaskedArray", "numpy.asarray"),
        (collections.defaultdict(lambda: 1), "checkpoint", "collections.defaultdict", "default_factory"),
        (
            {"a": ENDLESS},
            f"checkpoint['a']{'[0]' * 99}"[:200] + "...",
            "list",
            "100 levels deep, or in itself",
        ),
    ],
    ids=lambda value: "",
)
def test_what_cannot_be_kept_is_named_and_the_one_before_stays(folder, obj, where, kind, rule):
    checkpoint.save(folder, "before")
    with pytest.raises(ParameterError) as caught:
        checkpoint.save(folder, obj)
    assert (caught.value.field, caught.value.value) == (where, kind)
    assert caught.value.rule.startswith("cannot be kept: ")
    assert rule in caught.value.rule
    assert load_newest(folder) == "before"
    assert len(list(folder.iterdir())) == 1


def test_tensors_that_cannot_be_kept_are_named(folder):
    torch = pytest.importorskip("torch")
    for bad, rule in [
        ({"a": torch.ones(2).to_sparse()}, "no dense tensor"),
        ({"a": torch.empty(2, device="meta")}, "no dense tensor"),
        ({"a": torch.nn.Linear(1, 1)}, "save its state_dict"),
        ({torch.ones(1): 1}, "a tensor is no key"),
    ]:
        with pytest.raises(ParameterError, match=rule):
            checkpoint.save(folder, bad)


# Damage


def zoo():
    """Return something of everything."""
    state = {
        "plain": [1, 2.5, None, True, "text", "$tuple", {"a": {}}],
        "more": (1, {2, 3}, b"bytes", 1j, {1: "one"}, collections.OrderedDict(a=[]), 1 << 99, "\ud800"),
        "arrays": [np.arange(6.0).reshape(2, 3), np.float32(2), np.zeros(2, "i4,f8"), np.str_("a")],
        "again": [collections.Counter("aab"), collections.defaultdict(int), collections.deque([1], 3)],
    }
    if WITH_TORCH:
        import torch

        weight = torch.arange(12.0).reshape(3, 4)
        state["tensors"] = [weight, weight.T, torch.ones(2).bfloat16(), torch.nn.Parameter(torch.ones(2))]
        state["kinds"] = [torch.Size([1]), torch.float16, torch.device("cpu")]
    return state


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a checkpoint's file, and its bytes as they were written."""
    folder = tmp_path_factory.mktemp("trial") / "checkpoint"
    checkpoint.save(folder, zoo())
    path = folder / "1" / "values"
    return path, path.read_bytes()


def load_from(path, data):
    """Load a checkpoint of these bytes; None if they are found to be damaged. Nothing else may be raised."""
    path.write_bytes(data)
    try:
        return checkpoint_values.read(path)
    except checkpoint_values.Unreadable as error:
        problem = str(error)
    assert "\n" not in problem
    return None


def changed(data, draw):
    """Return bytes with a few of them changed, lost or added."""
    data = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 3, 10])):
        at = draw.randrange(len(data) + 1)
        how = draw.randrange(5)
        if how == 0 and at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        elif how == 1:
            del data[at:]
        elif how == 2:
            data[at:at] = draw.randbytes(draw.randrange(9))
        elif how == 3:
            del data[at : at + draw.randrange(9)]
        else:
            end = min(len(data), at + draw.randrange(4096))
            data[at:end] = bytes(end - at)  # as after a power cut
    return bytes(data)


def test_no_changed_byte_is_overlooked(whole):
    path, data = whole
    assert alike(load_from(path, data), zoo())
    draw = random.Random(0)
    for _ in range(300):
        back = load_from(path, changed(data, draw))
        assert back is None or alike(back, zoo())


def forged(data, draw):
    """Return a file whose tree is another one, with the checksums that it must have."""
    length, _, mark = struct.unpack("<QI4s", data[-16:])
    parts, tree = data[: -16 - length], json.loads(data[-16 - length : -16])
    places = [(None, None, tree)]
    for _, _, node in places:
        if isinstance(node, dict | list):
            places += [
                (node, key, node[key]) for key in (node if isinstance(node, dict) else range(len(node)))
            ]
    tags = sorted({key for _, key, _ in places if isinstance(key, str) and key[0] == "$"})
    for _ in range(draw.choice([1, 1, 2, 5])):
        inside, key, node = draw.choice(places[1:])
        new = draw.choice([node, draw.choice(places[1:])[2], *ODD])
        if draw.random() < 0.3:
            new = {draw.choice(tags): new}
        inside[key] = json.loads(json.dumps(new))
    text = json.dumps(tree).encode()
    return parts + text + struct.pack("<QI4s", len(text), zlib.crc32(text), mark)


ODD = [
    None,
    True,
    -1,
    0,
    1,
    10**30,
    2.5,
    float("nan"),
    "",
    "O",
    "|O",
    "<f8",
    "ff",
    "zz",
    "float32",
    [],
    [[]],
    {},
]
ODD += [
    [["a", "|O"]],
    [2**40, 2**40],
    [0, -1],
    [0, 2**60, 0],
    "nn",
    "load",
    "cuda:99",
    {"$no": 1},
    [[1, 2, 3]],
]


def test_files_that_nobody_wrote_are_values_or_damaged(whole):
    path, data = whole
    draw = random.Random(0)
    seen = [load_from(path, forged(data, draw)) is None for _ in range(300)]
    assert any(seen)
    assert not all(seen)
