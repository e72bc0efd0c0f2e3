"""Workers' shares of a machine."""

from collections import Counter
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.errors import ParameterError
from hbsim.executors.devices import Gpu
from hbsim.executors.slots import THREAD_VARIABLES, Slot, describe, make_slots
from hbsim.study import workers as study_workers
from tests.profile import examples


def a100s(count: int) -> list[Gpu]:
    return [Gpu(f"GPU-{index}", "NVIDIA A100", 80 << 30, f"GPU-{index}") for index in range(count)]


PARTS = st.integers(2, 9).map(lambda parts: 1 / parts) | st.floats(0.05, 0.99)


def visible(slots: list[Slot]) -> list[str | None]:
    return [slot.env.get("CUDA_VISIBLE_DEVICES", "as it was") for slot in slots]


NEEDS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "num_cpus": st.integers(1, 5),
        "num_gpus": st.integers(0, 3)
        | st.integers(2, 9).map(lambda parts: 1 / parts)
        | st.floats(0.05, 0.99),
    },
)


@settings(max_examples=examples(100), deadline=None)
@given(
    st.none() | st.integers(1, 40),
    NEEDS,
    st.sets(st.integers(0, 300), min_size=1, max_size=16).map(list),
    st.integers(0, 5).map(a100s),
    st.none() | st.floats(0.1, 20),
)
def test_nobody_gets_what_is_anothers(workers, resource, cores, gpus, limit):
    resource_given = resource or {}
    try:
        slots = make_slots(workers, resource, cores, gpus, limit)
    except ParameterError:
        # With nothing asked for, there is always a way.
        assert resource_given
        return
    assert [slot.worker for slot in slots] == list(range(workers or len(slots)))
    assert slots
    _check_cores(slots, resource_given.get("num_cpus"), cores, limit)
    _check_gpus(slots, resource_given.get("num_gpus"), gpus)


def _check_cores(slots: list[Slot], num_cpus: int | None, cores: list[int], limit: float | None) -> None:
    for slot in slots:
        assert slot.threads == (num_cpus or slot.threads) >= 1
        assert {slot.env[name] for name in THREAD_VARIABLES} == {str(slot.threads)}
    bound = [slot.cpus for slot in slots if slot.cpus is not None]
    if not bound:
        too_many = len(slots) * slots[0].threads > len(cores)
        assert too_many or (limit is not None and limit < len(cores))
        assert num_cpus is None or not too_many
        return
    assert len(bound) == len(slots)
    assert all(len(own) == slots[0].threads for own in bound)
    used = [core for own in bound for core in own]
    assert len(set(used)) == len(used)
    assert set(used) <= set(cores)


def _check_gpus(slots: list[Slot], num_gpus: float | None, gpus: list[Gpu]) -> None:
    users = Counter(gpu for slot in slots for gpu in slot.gpus)
    assert set(users) <= set(gpus)
    for slot in slots:
        assert len(set(slot.gpus)) == len(slot.gpus)
        if num_gpus is None and not gpus:
            assert "CUDA_VISIBLE_DEVICES" not in slot.env
        else:
            assert slot.env["CUDA_VISIBLE_DEVICES"] == ",".join(gpu.visible for gpu in slot.gpus)
    each = (1 if gpus else 0) if num_gpus is None else max(num_gpus, 1) if num_gpus else 0
    assert all(len(slot.gpus) == each for slot in slots)
    allowed = -(-len(slots) // len(gpus)) if num_gpus is None and gpus else 1
    if num_gpus and num_gpus < 1:
        allowed = floor(1 / Fraction(num_gpus).limit_denominator(1000))
    assert max(users.values(), default=0) <= allowed


@settings(max_examples=examples(100), deadline=None)
@given(
    st.fixed_dictionaries(
        {"num_cpus": st.integers(1, 4), "num_gpus": st.sampled_from([0, 1, 2, 0.5, 1 / 3, 0.3])}
    ),
    st.integers(1, 12),
    st.integers(0, 4),
)
def test_as_many_as_fit_and_not_one_more(resource, cores, gpus):
    try:
        slots = make_slots(None, resource, range(cores), a100s(gpus))
    except ParameterError:
        with pytest.raises(ParameterError, match="a trial needs"):
            make_slots(1, resource, range(cores), a100s(gpus))
        return
    assert make_slots(len(slots), resource, range(cores), a100s(gpus)) == slots
    with pytest.raises(ParameterError, match=f"no more than {len(slots)} fit"):
        make_slots(len(slots) + 1, resource, range(cores), a100s(gpus))


@pytest.mark.parametrize(
    ("workers", "resource", "cores", "gpus", "expected"),
    [
        # nothing is said: one a core, or one a GPU
        (None, None, 3, 0, [((0,), ()), ((1,), ()), ((2,), ())]),
        (None, None, 4, 2, [((0, 1), ("GPU-0",)), ((2, 3), ("GPU-1",))]),
        (None, None, 1, 2, [(None, ("GPU-0",)), (None, ("GPU-1",))]),
        # cores without a rest
        (2, None, 5, 0, [((0, 1), ()), ((2, 3), ())]),
        (1, None, 4, 2, [((0, 1, 2, 3), ("GPU-0",))]),
        # more workers than GPUs
        (3, None, 3, 2, [((0,), ("GPU-0",)), ((1,), ("GPU-1",)), ((2,), ("GPU-0",))]),
        (2, {"num_gpus": 2}, 2, 4, [((0,), ("GPU-0", "GPU-1")), ((1,), ("GPU-2", "GPU-3"))]),
        (2, {"num_gpus": 0.5}, 2, 2, [((0,), ("GPU-0",)), ((1,), ("GPU-1",))]),
        (2, {"num_gpus": 0.5}, 2, 1, [((0,), ("GPU-0",)), ((1,), ("GPU-0",))]),
        (None, {"num_gpus": 0.4}, 5, 1, [((0, 1), ("GPU-0",)), ((2, 3), ("GPU-0",))]),
        (None, {"num_cpus": 2}, 4, 0, [((0, 1), ()), ((2, 3), ())]),
        (None, {"num_cpus": 2.0, "num_gpus": 1.0}, 4, 1, [((0, 1), ("GPU-0",))]),
        (None, {"num_gpus": 0}, 2, 2, [((0,), ()), ((1,), ())]),
        (None, {"num_gpus": 0}, 1, 2, [((0,), ())]),
    ],
)
def test_shares(workers, resource, cores, gpus, expected):
    slots = make_slots(workers, resource, range(cores), a100s(gpus))
    assert [(slot.cpus, tuple(gpu.visible for gpu in slot.gpus)) for slot in slots] == expected


def test_the_part_of_a_gpu_is_not_lost_to_rounding():
    for parts in range(2, 200):
        assert len(make_slots(None, {"num_gpus": 1 / parts, "num_cpus": 1}, range(300), a100s(1))) == parts


def test_almost_nothing_of_a_gpu_fits_as_often_as_there_are_cores():
    assert len(make_slots(None, {"num_gpus": 5e-324}, range(3), a100s(1))) == 3


def test_more_workers_than_cores_share_them_with_a_thread_each():
    slots = make_slots(5, None, range(2), [])
    assert [(slot.cpus, slot.threads) for slot in slots] == [(None, 1)] * 5


def test_cores_are_taken_in_order():
    assert [slot.cpus for slot in make_slots(2, None, [9, 4, 7, 5], [])] == [(4, 5), (7, 9)]


def test_under_a_quota_there_are_fewer_workers_and_none_is_bound_to_cores():
    slots = make_slots(None, None, range(16), [], 2.5)
    assert [(slot.cpus, slot.threads) for slot in slots] == [(None, 1)] * 2
    assert len(make_slots(None, None, range(16), [], 0.5)) == 1
    assert make_slots(None, None, range(4), [], 8.0) == make_slots(None, None, range(4), [])


def test_trials_see_their_own_gpus_only():
    entry = Gpu("2", "NVIDIA A100", None, "GPU-8932")
    assert visible(make_slots(None, None, [0, 1], [entry])) == ["2"]
    assert visible(make_slots(1, {"num_gpus": 2}, [0, 1], a100s(3))) == ["GPU-0,GPU-1"]
    assert visible(make_slots(2, {"num_gpus": 0}, [0, 1], a100s(3))) == ["", ""]
    assert visible(make_slots(1, {"num_gpus": 0}, [0, 1], [])) == [""]


def test_without_gpus_the_variable_stays_as_it_is_unless_none_are_wanted():
    assert visible(make_slots(1, None, [0], [])) == ["as it was"]
    assert visible(make_slots(1, {"num_cpus": 1}, [0], [])) == ["as it was"]


@pytest.mark.parametrize(
    ("workers", "resource", "gpus", "rule"),
    [
        (None, {"num_gpus": 2}, 1, "a trial needs 2 GPUs; this machine has 1 GPU (NVIDIA A100)"),
        (None, {"num_gpus": 3}, 2, "a trial needs 3 GPUs; this machine has 2 GPUs (2 x NVIDIA A100)"),
        (4, {"num_gpus": 0.5}, 0, "a trial needs half of a GPU; this machine has no visible GPU"),
        (None, {"num_cpus": 9}, 0, "a trial needs 9 CPU cores; this machine has 4 CPU cores"),
        (1, {"num_gpu": 1}, 1, "knows num_cpus and num_gpus, not 'num_gpu'. Did you mean 'num_gpus'?"),
        (1, {7: 1}, 1, "knows num_cpus and num_gpus, not 7."),
        (1, [2], 1, "is a mapping such as {'num_cpus': 2, 'num_gpus': 1}"),
    ],
)
def test_what_no_worker_could_have_says_what_there_is(workers, resource, gpus, rule):
    with pytest.raises(ParameterError) as caught:
        make_slots(workers, resource, range(4), a100s(gpus))
    assert str(caught.value) == f"resource={resource!r}: {rule}"


@pytest.mark.parametrize(
    ("resource", "gpus", "there"),
    [
        ({"num_cpus": 2}, 0, "4 CPU cores and no visible GPU"),
        ({"num_gpus": 0.5}, 1, "4 CPU cores and 1 GPU (NVIDIA A100)"),
        ({"num_gpus": 2}, 4, "4 CPU cores and 4 GPUs (4 x NVIDIA A100)"),
    ],
)
def test_too_many_workers_say_how_many_fit(resource, gpus, there):
    with pytest.raises(ParameterError) as caught:
        make_slots(3, resource, range(4), a100s(gpus))
    assert (
        str(caught.value)
        == f"workers=3: no more than 2 fit with resource={resource!r}; this machine has {there}"
    )


def test_several_instances_of_a_gpu_a_trial_are_refused_for_cuda_shows_one_only():
    instances = [Gpu(f"MIG-{index}", "NVIDIA A100 MIG 1g.10gb", None, f"MIG-{index}") for index in range(4)]
    rule = "this machine has GPUs in MIG mode, of which CUDA shows a process one instance only"
    with pytest.raises(ParameterError, match=rule) as caught:
        make_slots(None, {"num_gpus": 2}, range(8), instances)
    assert caught.value.field == "resource"
    assert len(make_slots(None, {"num_gpus": 1}, range(8), instances)) == 4
    assert len(make_slots(8, None, range(8), instances)) == 8


def test_a_quota_is_named():
    with pytest.raises(ParameterError, match=r"this machine has 4 CPU cores \(a quota allows 2\)$"):
        make_slots(None, {"num_cpus": 3}, range(4), [], 2.5)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None, float("nan"), float("inf"), 10**400])
def test_num_cpus_is_a_whole_number(value):
    with pytest.raises(ParameterError, match="num_cpus is a whole number, at least 1"):
        make_slots(1, {"num_cpus": value}, range(4), [])


@pytest.mark.parametrize("value", [-1, -0.5, 1.5, "1", True, None, float("nan"), float("inf"), 10**400])
def test_num_gpus_is_a_number_of_gpus_or_a_part_of_one(value):
    with pytest.raises(ParameterError, match="num_gpus is 0, a whole number of GPUs, or a part of one"):
        make_slots(1, {"num_gpus": value}, range(4), a100s(2))


@pytest.mark.parametrize("workers", [0, -1, 1.0, "2", True])
def test_workers_are_a_whole_number(workers):
    with pytest.raises(ParameterError, match=r"workers=.*whole number, at least 1"):
        make_slots(workers, None, range(4), [])


@pytest.mark.parametrize(
    ("workers", "resource", "cores", "gpus", "line"),
    [
        (4, {"num_gpus": 0.5}, 8, 2, "4 workers: 2 CPU cores and half of a GPU each (2 x NVIDIA A100)"),
        (1, None, 2, 1, "1 worker: 2 CPU cores and 1 GPU (NVIDIA A100)"),
        (2, None, 2, 0, "2 workers: 1 CPU core each"),
        (2, {"num_gpus": 0}, 2, 2, "2 workers: 1 CPU core and no GPU each"),
        (2, {"num_gpus": 2}, 2, 4, "2 workers: 1 CPU core and 2 GPUs each (4 x NVIDIA A100)"),
        (10, None, 2, 2, "10 workers: 1 thread on shared CPU cores and 1/5 of a GPU each (2 x NVIDIA A100)"),
    ],
)
def test_a_line_for_people(workers, resource, cores, gpus, line):
    assert describe(make_slots(workers, resource, range(cores), a100s(gpus))) == line


def test_a_line_names_every_model():
    gpus = [*a100s(2), Gpu("GPU-t", "Tesla T4", None, "GPU-t")]
    assert describe(make_slots(None, None, range(3), gpus)).endswith("(2 x NVIDIA A100, Tesla T4)")


def test_trials_have_the_threads_that_the_user_gives_unless_they_have_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    (slot,) = study_workers._slots(1, None)
    assert (slot.threads, slot.env["OMP_NUM_THREADS"]) == (3, "3")
    (slot,) = study_workers._slots(1, {"num_cpus": 1})
    assert slot.threads == 1
