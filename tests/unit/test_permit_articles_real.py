"""The articles that the permit rules cite say what the rules rest on: held against the law texts where they are at hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from workbench.models.permit.settings import load_settings

WORDS = {
    ("生态环境法典", "182"): "排污许可证有效期为五年",
    ("生态环境法典", "1086"): "自行监测",
    ("生态环境法典", "1088"): "弄虚作假",
    ("生态环境法典", "1102"): "未依法取得排污许可证",
    ("生态环境法典", "1103"): "许可排放浓度、许可排放量",
    ("生态环境法典", "1104"): "污染防治设施",
    ("排污许可管理条例", "14"): "届满60日前",
    ("排污许可管理条例", "15"): "重新申请",
    ("排污许可管理条例", "33"): "未取得排污许可证",
    ("排污许可管理条例", "34"): "超过许可排放浓度、许可排放量",
    ("排污许可管理条例", "35"): "无组织排放",
    ("排污许可管理条例", "36"): "自行监测",
    ("排污许可管理条例", "37"): "执行报告",
    ("生态环境监测条例", "25"): "虚假标记",
    ("生态环境监测条例", "42"): "异常未及时报告",
    ("生态环境监测条例", "44"): "弄虚作假",
    ("大气污染防治法", "99"): "超过大气污染物排放标准",
    ("大气污染防治法", "100"): "进行监测",
    ("水污染防治法", "82"): "自行监测",
    ("水污染防治法", "83"): "超过水污染物排放标准",
    ("环境保护税法", "10"): "自动监测数据",
}
FILES = {
    "排污许可管理条例": "discharge_permit_regulation_2021.md",
    "生态环境监测条例": "monitoring_regulation_2025.md",
    "大气污染防治法": "air_law_2018.md",
    "水污染防治法": "water_law_2017.md",
    "环境保护税法": "env_tax_law_2018.md",
}
DIGITS = "零一二三四五六七八九"


def numeral(n: int) -> str:
    """Return 1 to 199 as the law texts write it."""
    hundreds, tens, ones = n // 100, n // 10 % 10, n % 10
    text = f"{DIGITS[hundreds]}百" if hundreds else ""
    text += f"{DIGITS[tens] if tens > 1 or hundreds else ''}十" if tens else ("零" if hundreds and ones else "")
    return text + (DIGITS[ones] if ones else "")


def article(folder: Path, law: str, number: str) -> str:
    if law == "生态环境法典":
        return json.loads((folder / "eco_code_2026.json").read_text(encoding="utf-8"))[number]
    text = (folder / FILES[law]).read_text(encoding="utf-8")
    parts = re.split(r"^(?:#+ *)?(第[一二三四五六七八九十百零]+条)[ 　\n]", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[f"第{numeral(int(number))}条"]


def cited() -> set[tuple[str, str]]:
    found = set()
    for laws in load_settings().articles.values():
        for law, numbers in laws.items():
            found |= {(law, n) for n in re.findall(r"\d+", re.sub(r"\(\d+\)", "", numbers))}
    return found


def test_every_cited_article_has_its_words_here() -> None:
    assert cited() == set(WORDS)


@pytest.mark.real
@pytest.mark.parametrize(("law", "number"), sorted(WORDS), ids=[f"{law} {n}" for law, n in sorted(WORDS)])
def test_cited_article_says_it(shared: Path, law: str, number: str) -> None:
    if not (shared / "law").is_dir():
        pytest.skip("the law texts are not here")
    assert WORDS[law, number] in re.sub(r"\s", "", article(shared / "law", law, number))


@pytest.mark.real
def test_the_code_takes_over_on_its_day(shared: Path) -> None:
    if not (shared / "law").is_dir():
        pytest.skip("the law texts are not here")
    last = article(shared / "law", "生态环境法典", "1242")
    assert "2026年8月15日起施行" in last
    laws = load_settings().laws
    assert str(laws["生态环境法典"]["from"]) == "2026-08-15"
    for law in ("大气污染防治法", "水污染防治法"):
        assert law in last
        assert str(laws[law]["to"]) == "2026-08-14"
    assert "排污许可管理条例" not in last, "the regulation is not repealed by the Code"
