"""The latent state of one enterprise in one hour, and the regime that holds it over days.

A state is ``(M, T, X, C, H_monitor, H_power, H_declaration)``: 3·2·2·4·2³ = 384 of them. A regime is what sticks from
hour to hour, ``(z_T, z_X, H…)``: 2·2·2³ = 32 of them. ``z_T`` is the habit of running without treatment, ``z_X`` a
process out of control; T and X of an hour follow from them and from M and C. Honesty of a state is that of its
regime. Bits are 1 for the *troubled* value everywhere: ``T = 1`` treatment not working, ``X = 1`` over the limit,
``H = 1`` the source lies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

M_NAMES = ("off", "low", "full")
C_NAMES = ("normal", "transition", "service", "disturbed")
SOURCES = ("monitor", "power", "declaration")
N_M, N_C = len(M_NAMES), len(C_NAMES)
N_REGIMES = 32
N_STATES = N_REGIMES * N_M * N_C
PARTS = {"M": M_NAMES, "T": ("on", "off"), "X": ("under", "over"), "C": C_NAMES, "H": ("honest", "lying")}
"""Values of each part as priors.yml writes them; H is the honesty of the channel's own source."""
C_WORDS = {
    "normal": ("正常工况", "normal operation"),
    "transition": ("启停机", "start-up or shutdown"),
    "service": ("校准或维护", "calibration or maintenance"),
    "disturbed": ("仪器故障、片区断数或换表", "instrument fault, zone outage or meter change"),
}
MECHANISMS = ("treatment_off", "exceedance", "fabrication", "false_report")
"""Offence kinds that the regime can name: z_T, z_X, H_monitor, H_declaration (H_power alone offends in no kind, but helps)."""


@dataclass(frozen=True)
class StateSpace:
    """Index arrays over the 384 states (int8) and over the 32 regimes (bool).

    States are ordered regime-major: state = ((((H_m·2+H_p)·2+H_d)·2+T)·2+X)·12 + M·4 + C.
    """

    M: np.ndarray
    T: np.ndarray
    X: np.ndarray
    C: np.ndarray
    H: dict[str, np.ndarray]
    z_T: np.ndarray
    z_X: np.ndarray
    z_H: dict[str, np.ndarray]

    @property
    def violation(self) -> np.ndarray:
        """States that are a violation: (M ∧ ¬T ∧ C normal) ∨ (X ∧ C normal) ∨ the monitor lies."""
        normal = self.C == 0
        off = (self.M > 0) & (self.T == 1) & normal
        return np.asarray(off | ((self.X == 1) & normal) | (self.H["monitor"] == 1))

    @property
    def z_violation(self) -> np.ndarray:
        """Regimes that are a violation: z_T, z_X or a lying monitor."""
        return np.asarray(self.z_T | self.z_X | self.z_H["monitor"])

    def z_mechanism(self, kind: str) -> np.ndarray:
        """Return the regimes in which a mechanism of :data:`MECHANISMS` is at work."""
        table = {
            "treatment_off": self.z_T,
            "exceedance": self.z_X,
            "fabrication": self.z_H["monitor"],
            "false_report": self.z_H["declaration"],
        }
        return np.asarray(table[kind])


@cache
def space() -> StateSpace:
    """Return the state space (built once)."""
    index = np.arange(N_STATES)
    regime = np.arange(N_REGIMES)
    bits = {name: (index // N_M // N_C >> shift & 1).astype(np.int8) for name, shift in (("X", 0), ("T", 1), ("d", 2), ("p", 3), ("m", 4))}
    z = {name: (regime >> shift & 1).astype(bool) for name, shift in (("X", 0), ("T", 1), ("d", 2), ("p", 3), ("m", 4))}
    return StateSpace(
        M=(index // N_C % N_M).astype(np.int8),
        C=(index % N_C).astype(np.int8),
        T=bits["T"],
        X=bits["X"],
        H={"monitor": bits["m"], "power": bits["p"], "declaration": bits["d"]},
        z_T=z["T"],
        z_X=z["X"],
        z_H={"monitor": z["m"], "power": z["p"], "declaration": z["d"]},
    )


def regime_words(z: int) -> tuple[str, str]:
    """Return the regime in Chinese and English."""
    s = space()
    zh, en = [], []
    if s.z_T[z]:
        zh.append("生产而治污不运行")
        en.append("producing without treatment")
    if s.z_X[z]:
        zh.append("排放超限")
        en.append("emission over the limit")
    for source, (name_zh, name_en) in {
        "monitor": ("监测", "monitor"),
        "power": ("用电", "power"),
        "declaration": ("申报", "declaration"),
    }.items():
        if s.z_H[source][z]:
            zh.append(f"{name_zh}数据不实")
            en.append(f"{name_en} data not true")
    return ("、".join(zh) or "一切如实", " and ".join(en) or "all as it says")
