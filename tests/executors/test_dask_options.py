"""What a study that runs on Dask may be told about its cluster, rule by rule."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import hbsim
from hbsim.errors import ParameterError
from hbsim.executors.dask.options import LEASE, Dask

TLS = "tls://gpu1:8786"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.pem"
    path.write_text("")
    return path


def refused(field: str, rule: str, **given: object) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        Dask(**given)
    assert caught.value.field == field
    assert rule in caught.value.rule
    return caught.value


def test_nothing_has_to_be_given():
    options = Dask()
    assert hbsim.Dask is Dask
    assert (options.hosts, options.scheduler_address, options.tls) == ((), None, None)
    assert (options.send, options.storage, options.lease) == ("file", "auto", LEASE)
    with pytest.raises(FrozenInstanceError):
        options.lease = 3.0


def test_what_is_right_is_kept_as_it_was_given(file):
    ssh = {
        "ssh_user": "me",
        "ssh_port": 2222,
        "ssh_python": "/opt/python",
        "ssh_key": str(file),
        "ssh_timeout": 60,
    }
    given = {"hosts": ["a", "10.0.0.1", "fe80::1%eth0", "a"], **ssh, "ssh_known_hosts": file, "tls": False}
    given |= {"send": "folder", "storage": "s3://bucket/path", "lease": 2}
    options = Dask(**given)
    assert {name: getattr(options, name) for name in given} == given
    assert Dask(hosts=("a",)).hosts == ("a",)


@pytest.mark.parametrize("hosts", ["a,b", b"a", 5, None, {"a": 1}, ["a", ""], ["a", 7], [None]])
def test_hosts_are_a_list_of_texts(hosts):
    assert refused("hosts", "must be a list of names or addresses", hosts=hosts).value == hosts


@pytest.mark.parametrize("host", ["me@a", "-oProxyCommand=x", "a b", "a;b", "ssh://a", "[::1]", "a\n"])
def test_a_host_is_a_name_or_an_address(host):
    assert refused("hosts", "the user is ssh_user", hosts=["a", host]).value == host


@pytest.mark.parametrize("address", [TLS, "tcp://127.0.0.1:1", "tcp://[::1]:8786"])
def test_addresses_of_schedulers(address):
    assert Dask(scheduler_address=address).scheduler_address == address


NO_PORT = ["gpu1:8786", "http://gpu1:1", "TCP:gpu1:1", "tcp://", "tcp://gpu1", "tls://:8786", "tcp://a:x"]
NO_ADDRESS = ["tcp://a:65536", "tcp://a:0", "tcp://a:1/path", "tcp://[::1:1", "", 8786, b"tcp://a:1"]


@pytest.mark.parametrize("address", [*NO_PORT, *NO_ADDRESS])
def test_what_is_no_address_of_a_scheduler(address):
    error = refused("scheduler_address", "must be the address of a Dask scheduler", scheduler_address=address)
    assert error.value == address


def test_a_cluster_is_started_or_one_that_runs_is_used():
    refused("hosts", "goes without scheduler_address", hosts=["a"], scheduler_address=TLS)


@pytest.mark.parametrize(
    "name", ["ssh_user", "ssh_port", "ssh_key", "ssh_known_hosts", "ssh_python", "ssh_timeout"]
)
def test_what_is_for_ssh_needs_hosts(name):
    assert refused(name, "needs hosts", **{name: "any"}).value == "any"
    refused(name, "needs hosts", **{name: "any"}, scheduler_address=TLS)


@pytest.mark.parametrize("port", [0, -1, 65536, 22.0, "22", True])
def test_ports(port):
    refused("ssh_port", "must be a port, from 1 to 65535", hosts=["a"], ssh_port=port)


@pytest.mark.parametrize("seconds", [0, -1.0, float("inf"), "5", True])
def test_a_limit_for_ssh_is_seconds(seconds):
    refused("ssh_timeout", "", hosts=["a"], ssh_timeout=seconds)


@pytest.mark.parametrize("name", ["ssh_user", "ssh_python"])
@pytest.mark.parametrize("value", ["", 5])
def test_texts_for_ssh(name, value):
    refused(name, "must be a text that is not empty", hosts=["a"], **{name: value})


@pytest.mark.parametrize("name", ["ssh_key", "ssh_known_hosts"])
def test_files_for_ssh_are_there(name, tmp_path, monkeypatch):
    for value in (tmp_path / "absent", str(tmp_path), "", 5):
        refused(name, "must be a file that exists", hosts=["a"], **{name: value})
    (tmp_path / "mine").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert getattr(Dask(hosts=["a"], **{name: "~/mine"}), name) == "~/mine"


@pytest.mark.parametrize("name", ["tls_ca", "tls_cert", "tls_key"])
def test_certificates_are_for_an_encrypted_scheduler_and_come_together(name, file):
    files = {"tls_ca": file, "tls_cert": file, "tls_key": file}
    assert Dask(scheduler_address=TLS, **files).tls_key == file
    for given in ({}, {"scheduler_address": "tcp://a:1"}, {"hosts": ["a"]}):
        refused(name, "needs a scheduler_address with tls://", **{name: file}, **given)
    refused(name, "must be a file that exists", scheduler_address=TLS, **files | {name: "absent"})
    del files[name]
    refused(name, f"is needed with {min(files)}: give all three", scheduler_address=TLS, **files)


@pytest.mark.parametrize("tls", [True, False])
def test_tls_is_for_hosts(tls):
    assert Dask(hosts=["a"], tls=tls).tls is tls
    for given in ({}, {"scheduler_address": TLS}):
        refused("tls", "needs hosts", tls=tls, **given)


@pytest.mark.parametrize("tls", ["yes", 1, 0, "False"])
def test_tls_is_true_or_false(tls):
    refused("tls", "must be True or False", tls=tls, hosts=["a"])


@pytest.mark.parametrize("send", ["folders", "", None, 5, ["file"]])
def test_what_is_sent(send):
    rule = refused("send", "must be file or folder.", send=send).rule
    assert rule.endswith(" Did you mean 'folder'?") is (send == "folders")


@pytest.mark.parametrize(
    "storage", ["auto", "shared", "pull", "s3://b/p", "memory://", "simplecache::s3://b"]
)
def test_storages(storage):
    assert Dask(storage=storage).storage == storage


@pytest.mark.parametrize("storage", ["share", "/nfs/trials", "s3:bucket", "://bucket", "", None, 5])
def test_what_is_no_storage(storage):
    rule = refused("storage", "must be auto, shared, pull or a URL", storage=storage).rule
    assert rule.endswith(" Did you mean 'shared'?") is (storage == "share")


@pytest.mark.parametrize("lease", [0, 1.99, -5, float("nan"), float("inf"), "30", None, True])
def test_a_lease_is_a_number_of_seconds(lease):
    refused("lease", "must be", lease=lease)
