"""Frames and packets of HJ 212: round trips, resynchronisation, versions, and what is set aside."""
# ruff: noqa: E501 - a packet is one line

from __future__ import annotations

import random
import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.catalog.hj212 import (
    Assembler,
    CodeTable,
    Framer,
    encode_frame,
    encode_packet,
    factor_codes,
    iter_frames,
    parse_packet,
    reasons,
    records,
)
from workbench.catalog.hj212.codes import protocol_words
from workbench.catalog.hj212.crc import INIT, POLY, crc16, modbus_crc16, swapped
from workbench.catalog.hj212.parse import read_body, read_fields
from workbench.contracts import PacketError, System
from workbench.contracts.units import known_unit

T = datetime(2026, 3, 1, 12, 6)
CODES = CodeTable()
FACTORS = ["a21026", "a21002", "a34013", "a19001", "a00000", "w01018", "w21003", "e10102", "i33315"]


def slow_crc(body: bytes) -> int:
    """The algorithm as the standard words it."""
    reg = INIT
    for byte in body:
        reg = (reg >> 8) ^ byte
        for _ in range(8):
            low = reg & 1
            reg >>= 1
            if low:
                reg ^= POLY
    return reg


@given(st.binary(max_size=300))
def test_crc_equals_the_algorithm_of_the_standard(body):
    assert crc16(body) == slow_crc(body)


def test_crc_of_the_standards_own_example():
    # HJ 212-2017, worked example of a sound packet, as devices send it
    body = b"QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&"
    assert crc16(body) == 0x1C80


def test_modbus_crc_vector():
    assert modbus_crc16(b"123456789") == 0x4B37


values = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False).map(lambda x: round(x, 4))
packets = st.fixed_dictionaries(
    {
        "mn": st.text("0123456789ABCDEF", min_size=14, max_size=24),
        "time": st.datetimes(datetime(2006, 1, 1), datetime(2035, 1, 1)).map(lambda t: t.replace(microsecond=0)),
        "values": st.dictionaries(st.sampled_from(FACTORS), values, min_size=1, max_size=6),
        "cn": st.sampled_from(["2011", "2051", "2061", "2031"]),
        "st": st.sampled_from(["21", "22", "31", "32"]),
        "version": st.sampled_from([2005, 2017, 2025]),
        "mark": st.sampled_from("NFMSDCTB"),
        "answer": st.booleans(),
    }
)


@given(packets)
def test_what_is_built_is_what_is_read(given_fields):
    p = parse_packet(encode_packet(**given_fields))
    assert (p.mn, p.cn, p.st, p.data_time) == tuple(given_fields[k] for k in ("mn", "cn", "st", "time"))
    assert p.version == given_fields["version"]
    assert p.answer == (given_fields["answer"] and p.version != 2005)
    assert {r.factor: r.value for r in p.readings} == given_fields["values"]
    assert {r.mark for r in p.readings} == {"NFMSDCTB".index(given_fields["mark"])}
    assert not p.faults


@settings(max_examples=300)
@given(packets, st.data())
def test_no_changed_byte_is_accepted_with_other_values(given_fields, data):
    sound = encode_packet(**given_fields)
    at = data.draw(st.integers(0, len(sound) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != sound[at]))
    broken = sound[:at] + bytes([byte]) + sound[at + 1 :]
    accepted = [f.body for f in iter_frames(broken) if not f.reason]
    assert accepted in ([], [sound[6:-6]])  # lost with a reason, or unharmed (line end, case of the CRC)
    if not accepted:
        assert any(f.reason for f in iter_frames(broken))


@given(st.lists(packets, min_size=2, max_size=6), st.data())
def test_only_the_bad_frame_is_lost(many, data):
    frames = [encode_packet(**p) for p in many]
    bad = data.draw(st.integers(0, len(frames) - 1))
    at = data.draw(st.integers(6, len(frames[bad]) - 7))  # in the body
    broken = bytearray(frames[bad])
    broken[at] ^= 0x01
    stream = b"".join(bytes(broken) if i == bad else f for i, f in enumerate(frames))
    assert [f.body for f in iter_frames(stream) if not f.reason] == [f[6:-6] for i, f in enumerate(frames) if i != bad]


@given(st.lists(packets, min_size=1, max_size=4), st.binary(max_size=60).filter(lambda b: b"##" not in b and not b.endswith(b"#")))
def test_garbage_between_frames_costs_no_frame(many, garbage):
    frames = [encode_packet(**p) for p in many]
    found = [f for f in iter_frames(garbage.join([b"", *frames, b""])) if not f.reason]
    assert [f.body for f in found] == [f[6:-6] for f in frames]


@given(st.lists(packets, min_size=1, max_size=4), st.integers(1, 50), st.sampled_from([b"\r\n", b"\n", b"", b"\r\n\r\n"]))
def test_blocks_and_line_ends_do_not_matter(many, block, end):
    stream = b"".join(encode_packet(**p)[:-2] + end for p in many)
    framer, found = Framer(), []
    for i in range(0, len(stream), block):
        found += framer.feed(stream[i : i + block])
    found += framer.finish()
    assert [f.body for f in found] == [encode_packet(**p)[6:-6] for p in many]
    assert all(stream[f.offset : f.offset + 2] == b"##" for f in found)


def test_a_frame_without_line_end_is_given_at_once():
    assert len(list(Framer().feed(encode_packet("MN1", T, {"a21026": 1})[:-2]))) == 1


def test_a_wrong_length_does_not_hold_back_the_next_frame():
    sound = encode_packet("MN1", T, {"a21026": 1})
    found = list(Framer().feed(b"##9000" + sound[6:] + sound))
    assert [f.reason for f in found] == ["wrong_length", ""]


def reframe(body: bytes, crc: int) -> bytes:
    return b"##%04d%s%04X\r\n" % (len(body), body, crc)


BODY = encode_packet("88888880000001", T, {"a21026": 12.5})[6:-6]
FRAMES = [
    ("sound", encode_frame(BODY), ""),
    ("lower-case CRC", encode_frame(BODY)[:-6] + encode_frame(BODY)[-6:].lower(), ""),
    ("one too long", b"##%04d" % (len(BODY) + 1) + encode_frame(BODY)[6:], "wrong_length"),
    ("one too short", b"##%04d" % (len(BODY) - 1) + encode_frame(BODY)[6:], "wrong_length"),
    ("cut off", encode_frame(BODY)[:-20], "wrong_length"),
    ("another CRC", reframe(BODY, crc16(BODY) ^ 0x0101), "wrong_crc"),
    ("Modbus CRC", reframe(BODY, modbus_crc16(BODY)), "modbus_crc"),
    ("byte-swapped Modbus CRC", reframe(BODY, swapped(modbus_crc16(BODY))), "byte_swapped_modbus_crc"),
    ("byte-swapped CRC", reframe(BODY, swapped(crc16(BODY))), "byte_swapped_crc"),
    ("byte above 127", encode_frame(BODY).replace(b"a21026", b"a2102\xe6", 1), "non_ascii"),
    ("no header", encode_frame(BODY)[2:], "no_header"),
    ("nothing", b"", "no_header"),
]


@pytest.mark.parametrize(("frame", "reason"), [c[1:] for c in FRAMES], ids=[c[0] for c in FRAMES])
def test_each_broken_frame_has_its_own_reason(frame, reason):
    if reason:
        with pytest.raises(PacketError) as caught:
            parse_packet(frame)
        assert caught.value.got == reason
        assert caught.value.what == reasons()[reason].en
    else:
        assert parse_packet(frame).readings[0].value == 12.5


H = "QN=20260301120600000;ST=31;CN=2011;PW=123456;MN=M1;Flag=5;"
D = "DataTime=20260301120600"
BODIES = [
    ("no MN", H.replace("MN=M1;", "") + f"CP=&&{D};a21026-Rtd=1&&", "missing_mn"),
    ("no CN", H.replace("CN=2011;", "") + f"CP=&&{D};a21026-Rtd=1&&", "missing_cn"),
    ("unknown command", H.replace("2011", "7777") + f"CP=&&{D};a21026-Rtd=1&&", "unknown_command"),
    ("no DataTime", H + "CP=&&a21026-Rtd=1&&", "missing_datatime"),
    ("month 13", H + "CP=&&DataTime=20261301120600;a21026-Rtd=1&&", "bad_time"),
    ("time in words", H + "CP=&&DataTime=noon;a21026-Rtd=1&&", "bad_time"),
    ("the clock of a dead battery", H + "CP=&&DataTime=19700101000000;a21026-Rtd=1&&", "time_too_old"),
    ("a clock that was reset", H + "CP=&&DataTime=20000101000000;a21026-Rtd=1&&", "time_too_old"),
    ("a year ahead", H + "CP=&&DataTime=20270301120600;a21026-Rtd=1&&", "time_in_future"),
    ("data area not closed", H + f"CP=&&{D};a21026-Rtd=1", "malformed"),
    ("no data area", H, "malformed"),
    ("two MN", H + f"MN=M2;CP=&&{D};a21026-Rtd=1&&", "duplicate_field"),
]


@pytest.mark.parametrize(("body", "reason"), [c[1:] for c in BODIES], ids=[c[0] for c in BODIES])
def test_each_unusable_packet_has_its_own_reason(body, reason):
    with pytest.raises(PacketError) as caught:
        parse_packet(encode_frame(body.encode()), now=T)
    assert caught.value.got == reason


FIELDS = [
    ("unknown factor", "zz9999-Rtd=5,zz9999-Flag=N", "unknown_factor", 255),
    ("no number", "a21002-Rtd=--,a21002-Flag=N", "unparsable_value", 255),
    ("not a number", "a21002-Rtd=nan", "unparsable_value", 255),
    ("Python's own number", "a21002-Rtd=1_000", "unparsable_value", 255),
    ("empty", "a21002-Rtd=", "unparsable_value", 255),
    ("beyond float32", "a21002-Rtd=1e39", "unparsable_value", 255),
    ("unknown kind", "a21002-Xyz=1", "unknown_kind", 255),
    ("no equals sign", "a21002-Rtd", "malformed_field", 255),
    ("same field, other value", "a21026-Rtd=9", "duplicate_field", 255),
]


@pytest.mark.parametrize(("field", "reason", "_mark"), [c[1:] for c in FIELDS], ids=[c[0] for c in FIELDS])
def test_a_bad_field_costs_only_itself(field, reason, _mark):
    p = parse_packet(encode_frame(f"{H}CP=&&{D};a21026-Rtd=1,a21026-Flag=N;{field};a19001-Rtd=8,a19001-Flag=N&&".encode()))
    assert [(r.factor, r.value) for r in p.readings] == [("a21026", 1.0), ("a19001", 8.0)]
    assert [f.reason for f in p.faults] == [reason]


def test_a_field_that_is_not_ascii_costs_only_itself():
    p = parse_packet(encode_frame(f"{H}CP=&&{D};a21026-Rtd=1;a21002-Rtd=5，0;i11001-Info=//日志//&&".encode()))
    assert [(r.factor, r.value) for r in p.readings] == [("a21026", 1.0)]
    assert [f.reason for f in p.faults] == ["non_ascii"]  # a log in UTF-8 is lawful


def test_an_unknown_mark_keeps_the_value_unmarked():
    p = parse_packet(encode_packet("M1", T, {"a21026": 3.5}, mark="X"))
    assert [tuple(r) for r in p.readings] == [("a21026", "Rtd", 3.5, 255)]
    assert [f.reason for f in p.faults] == ["unknown_mark"]


def test_groups_of_one_factor_are_merged_and_equal_copies_are_no_fault():
    p = parse_packet(encode_frame(f"{H}CP=&&{D};a21026-Rtd=1;a21026-Flag=M;a21026-ZsRtd=2;a21026-Rtd=1&&".encode()))
    assert [tuple(r) for r in p.readings] == [("a21026", "Rtd", 1.0, 2), ("a21026", "ZsRtd", 2.0, 2)]
    assert not p.faults


CASES = [
    ("2005: no QN, no Flag, old codes", "ST=31;CN=2011;PW=123456;MN=M1;CP=&&DataTime=20200923113557;01-Rtd=1;02-Rtd=2,02-Flag=N;S01-Rtd=3&&", 2005, False,
     {"a34013": (1, 255), "a21026": (2, 0), "a19001": (3, 255)}),
    ("2005: waste water, power failure", "ST=32;CN=2051;PW=123456;MN=M1;CP=&&DataTime=20200923113500;011-Avg=60,011-Flag=P;B01-Avg=7&&", 2005, False,
     {"w01018": (60, 4), "w00000": (7, 255)}),
    ("2017: Flag 4, no answer", "QN=1;ST=22;CN=2051;PW=1;MN=M1;Flag=4;CP=&&DataTime=20220513162600;a34004-Avg=14,a34004-Flag=N&&", 2017, False,
     {"a34004": (14, 0)}),
    ("2017: Flag 5, answer, sample time", "QN=1;ST=22;CN=2011;PW=1;MN=M1;Flag=5;CP=&&DataTime=20231008132300;w01018-SampleTime=20231008120000,w01018-Rtd=1.5&&", 2017, True,
     {"w01018": (1.5, 255)}),
    ("2025: Flag 9, equipment flag", "QN=1;ST=31;CN=2011;PW=1;MN=M1;Flag=9;CP=&&DataTime=20260301000000;a21002-Rtd=40,a21002-Flag=C,a21002-EFlag=A01&&", 2025, True,
     {"a21002": (40, 5)}),
    ("2025: a device that still sends an old code", "QN=1;ST=31;CN=2011;PW=1;MN=M1;Flag=8;CP=&&DataTime=20260301000000;03-Rtd=40,03-Flag=T&&", 2025, False,
     {"a21002": (40, 6)}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "version", "answer", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_versions(body, version, answer, expected):
    p = parse_packet(encode_frame(body.encode()))
    assert (p.version, p.answer) == (version, answer)
    assert {r.factor: (r.value, r.mark) for r in p.readings} == expected
    assert not p.faults


def test_commands_without_data_are_sound_and_empty():
    for cn in ("9011", "9012", "9013", "9014", "3020", "2081", "2021"):
        p = parse_packet(encode_packet("M1", T, {"i12001": {"Info": "0"}}, cn=cn))
        assert (p.statistic, p.readings, p.faults) == ("", [], [])


@given(st.permutations(range(1, 5)))
def test_sub_packets_in_any_order(order):
    parts = {
        i: encode_packet("M1", T if i == 1 else None, {c: float(i)}, qn="20260301120600000", pnum=4, pno=i)
        for i, c in enumerate(["a21026", "a21002", "a34013", "a19001"], 1)
    }
    assembler, done = Assembler(), []
    for i in [order[0], *order]:  # the first one twice
        done += assembler.add(read_body(parts[i][6:-6]))
    ((packet, _, complete),) = done
    read_fields(packet, CODES)
    assert complete
    assert packet.data_time == T
    assert [(r.factor, r.value) for r in packet.readings] == [("a21026", 1.0), ("a21002", 2.0), ("a34013", 3.0), ("a19001", 4.0)]


def test_incomplete_sub_packets_come_out_at_the_end():
    assembler = Assembler()
    for pno in (3, 1):
        assert not assembler.add(read_body(encode_packet("M1", T, {"a21026": 1.0}, pnum=3, pno=pno)[6:-6]), place=pno)
    ((packet, place, complete),) = assembler.rest()
    assert (place, complete, packet.cp.count("a21026-Rtd")) == (1, False, 2)


def test_records_are_one_row_per_value():
    p = parse_packet(encode_packet("M1", T, {"w01018": {"Rtd": 60, "SampleTime": "20260301100000"}, "w01001": 7.1}, st="32"))
    table = records([p])
    assert table["value"].tolist() == [60.0, 7.1]
    assert table["sampled_at"].iloc[0] == datetime(2026, 3, 1, 10)
    assert table[["mn", "factor", "statistic", "kind"]].iloc[1].tolist() == ["M1", "w01001", "realtime", "Rtd"]


def test_every_unit_of_the_code_table_is_a_unit():
    table = factor_codes()
    assert table["code"].is_unique
    old = table.loc[table["code_2005"] != "", "code_2005"]
    assert old.is_unique
    for column in ("unit", "unit_ambient", "amount_unit"):
        assert [u for u in table[column].unique() if known_unit(u) is None] == []
    assert CODES.row("a21026")["unit"] == "mg/m³"
    assert CODES.unit("a34004", "ambient") == "µg/m³"
    assert CODES.resolve("e10107") == "e10107"
    assert CODES.row("i33319")["name_zh"] == "炉膛内上部焚烧温度"
    assert CODES.resolve("e101xx") == "e101xx"
    assert CODES.resolve("a2102") is None


def test_extra_codes_come_from_a_file(tmp_path):
    (tmp_path / "more.csv").write_text("code,name_zh,unit\nzz0001,试验,mg/L\n", encoding="utf-8")
    assert CodeTable(tmp_path / "more.csv").resolve("zz0001") == "zz0001"


def test_reasons_in_the_code_and_in_the_table_are_the_same(root: Path):
    folder = root / "workbench" / "catalog" / "hj212"
    code = "".join(p.read_text(encoding="utf-8") for p in folder.glob("*.py"))
    assert [name for name in reasons() if f'"{name}"' not in code] == []
    for name in re.findall(r'Fault\(\s*"(\w+)"', code):
        assert name in reasons()


def test_systems_of_the_command_table_are_systems():
    assert {row["system"] for row in protocol_words().systems.values() if "system" in row} <= {s.value for s in System}


def test_random_bytes_raise_nothing_and_are_accepted_never():
    rng = random.Random(3)
    for _ in range(50):
        junk = bytes(rng.choice(b"#0123456789ABCDEF&;=\r\n\xff") for _ in range(2000))
        assert [f for f in iter_frames(junk) if not f.reason and len(f.body) > 20] == []
