"""What `npu-smi info` of several versions prints; the sources are in tests/data/npu-smi/README.md."""

import re

import pytest
from support.npu import RECORDED, make_npu_smi, with_processes

from tracetail.contract.npu import Npu, Npus, Report, parse
from tracetail.contract.nvml import MemoryUse

MIB = 1024**2


def recorded(name):
    return (RECORDED / name).read_text()


@pytest.mark.parametrize(
    ("name", "npus", "uses"),
    [
        ("310p-22.0.0.txt", [Npu(0, 0, "310P3", 53, 0, 4060 * MIB, 21534 * MIB)], []),
        (
            "310p-23.0.rc3.txt",
            [
                Npu(0, 0, "310P3", 51, 0, 3841 * MIB, 21527 * MIB),
                Npu(64, 0, "310P3", 48, 0, 1764 * MIB, 21527 * MIB),
            ],
            [],
        ),
        (
            "910b2c.txt",
            [
                Npu(0, 0, "910B2C", 51, 0, 20701 * MIB, 65536 * MIB),
                Npu(1, 0, "910B2C", 50, 0, 20687 * MIB, 65536 * MIB),
            ],
            [MemoryUse(0, 124528, 17400 * MIB)],
        ),
        (
            "910-dual-die-25.3.txt",
            [
                Npu(0, 0, "Ascend910", 30, 0, 3180 * MIB, 65536 * MIB),
                Npu(0, 1, "Ascend910", 30, 0, 2896 * MIB, 65536 * MIB),
                Npu(1, 0, "Ascend910", 29, 0, 3141 * MIB, 65536 * MIB),
            ],
            [],
        ),
        (
            "910b3-26.txt",
            [
                Npu(6, 0, "910B3", 49, 0, 3402 * MIB, 65536 * MIB),
                Npu(7, 0, "910B3", 51, 0, 3403 * MIB, 65536 * MIB),
            ],
            [MemoryUse(0, 485946, 5175 * MIB)],
        ),
    ],
)
def test_the_tables_of_each_version_are_read(name, npus, uses):
    assert parse(recorded(name)) == Report(npus, uses)


def test_in_a_container_a_process_has_the_pid_that_it_has_there():
    text = with_processes(recorded("910b3-26.txt"), [(7, 485946, 5175)]).replace("NA  ", "101 ")
    assert parse(text, in_container=True).uses == [MemoryUse(1, 101, 5175 * MIB)]
    assert parse(text).uses == [MemoryUse(1, 485946, 5175 * MIB)]


@pytest.mark.parametrize("text", ["", "dcmi model initialized failed, because the device is used. ret is -8020\n"])
def test_an_npu_smi_that_reports_nothing_has_no_devices(text, tmp_path):
    assert parse(text) == Report([], [])
    (tmp_path / "output").write_text(text)
    assert Npus(str(make_npu_smi(tmp_path, tmp_path / "output"))).count == 0


def test_the_load_of_a_device_is_split_between_its_processes(tmp_path):
    text = with_processes(recorded("910b3-26.txt"), [(6, 11, 100), (6, 12, 100)])
    (tmp_path / "output").write_text(re.sub(r"\| 0( +0    / 0 +3402)", r"| 50\1", text))
    npus = Npus(str(make_npu_smi(tmp_path, tmp_path / "output")))
    assert npus.utilization(0) == {11: 0.25, 12: 0.25}
    assert npus.utilization(1) == {}
    assert (npus.temperature(0), npus.temperature(1)) == (49, 51)


def test_an_answer_serves_for_a_while(tmp_path):
    output = tmp_path / "output"
    output.write_text(recorded("910b3-26.txt"))
    now = [0.0]
    npus = Npus(str(make_npu_smi(tmp_path, output)), 10.0, lambda: now[0])
    assert npus.count == 2
    output.write_text("")
    now[0] = 9.0
    assert npus.count == 2
    now[0] = 11.0
    assert npus.count == 0
