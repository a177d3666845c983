"""The reviewer's desk as a page: widgets bound to the state, no logic of its own."""

from __future__ import annotations

from typing import Any

import pandas as pd
import panel as pn
import panel_material_ui as pmui
from bokeh.models import NumberFormatter

from workbench.apps import markup, pictures
from workbench.apps.series import point_label
from workbench.apps.state import QUEUES, WINDOWS, Desk
from workbench.apps.titles import detector_title
from workbench.apps.words import kind_word, say

FONT = '"Noto Sans CJK SC","Noto Sans SC","PingFang SC","Microsoft YaHei",Roboto,sans-serif'
THEME = {
    "palette": {"primary": {"main": "#1b6b55"}, "secondary": {"main": "#9a3412"}},
    "typography": {"fontFamily": FONT, "fontSize": 13, "button": {"textTransform": "none"}},
    "shape": {"borderRadius": 6},
}

_TOGGLES = {"& .MuiToggleButton-root": {"whiteSpace": "nowrap", "padding": "5px 12px"}}
_PANE = {"overflow-y": "auto", "max-height": "calc(100vh - 96px)"}  # the queue stays in sight of a long card
_RELOAD = "const u = new URL(window.location); u.searchParams.set('lang', '%s'); window.location = u"
_OTHER = {"zh": "English", "en": "中文"}


def desk_page(desk: Desk, *, served: bool = False) -> Any:
    """Return the page over a desk; ``served``: it has an address of its own that may be loaded again."""
    return DeskView(desk, served=served).page()


class DeskView:
    """Widgets of one session.

    Parameters
    ----------
    desk : Desk
    """

    def __init__(self, desk: Desk, *, served: bool = False) -> None:
        self.desk, self.served = desk, served

    def page(self) -> Any:
        """Return the whole page."""
        d = self.desk
        language = pmui.Button(label=_OTHER[d.lang], icon="translate", variant="outlined", color="light", size="small")
        refresh = pmui.Button(label=say("refresh", d.lang), icon="refresh", variant="outlined", color="light", size="small")
        page = pmui.Page(
            title=say("title", d.lang),
            header=[pn.Spacer(sizing_mode="stretch_width"), refresh, language],
            theme_config=THEME,
            theme_toggle=False,
            sidebar_variant="temporary",
            sidebar_open=False,
        )
        if self.served:  # a new session with the same choices: nothing of the old language stays behind
            language.js_on_click(code=_RELOAD % ("en" if d.language == "zh" else "zh"))
            refresh.js_on_click(code="window.location.reload()")
            page.main = [self._main()]
            return page
        body = pn.Column(self._main(), sizing_mode="stretch_width")

        def rebuild(_event: Any) -> None:
            page.title, refresh.label, language.label = say("title", d.lang), say("refresh", d.lang), _OTHER[d.lang]
            body[:] = [self._main()]

        language.on_click(lambda _event: d.param.update(language="en" if d.language == "zh" else "zh"))
        refresh.on_click(lambda _event: d.read_again())
        d.param.watch(rebuild, ["language", "shelf"])
        page.main = [body]
        return page

    def _main(self) -> Any:
        d = self.desk
        parts: list[Any] = [_html(markup.notice(say("caution", d.lang), d.lang), margin=(12, 16, 0, 16))]
        if d.shelf.set_aside:
            text = say("set_aside", d.lang, n=len(d.shelf.set_aside))
            items = [f"{name}: {why}" for name, why in d.shelf.set_aside.items()]
            parts.append(_html(markup.notice(text, d.lang, items, "warn"), margin=(8, 16, 0, 16)))
        if not d.shelf.iterations:
            return pn.Column(*parts, _paper(_html(markup.empty_page(d))), sizing_mode="stretch_width")
        tabs = pmui.Tabs(
            (say("tab_iterations", d.lang), self._iterations()),
            (say("tab_leads", d.lang), self._leads()),
            active=["iterations", "leads"].index(d.tab),
            sizing_mode="stretch_width",
            margin=(4, 8),
        )
        tabs.param.watch(lambda e: d.param.update(tab=["iterations", "leads"][e.new]), "active")
        d.param.watch(lambda e: setattr(tabs, "active", ["iterations", "leads"].index(e.new)), "tab")
        return pn.Column(*parts, tabs, sizing_mode="stretch_width")

    # iterations ------------------------------------------------------------------------------------------------

    def _iterations(self) -> Any:
        d = self.desk
        frame = d.iteration_table()
        table = _grid(
            frame,
            titles={str(c): say(f"col_{c}", d.lang) for c in frame},
            widths={"iteration": 220, "experiment": 120, "catalog": 120, "period": 200, "created": 140},
            height=min(330, 50 + 34 * len(frame)),
            selected=list(frame.index[frame["iteration"] == d.iteration_id]),
        )

        def choose(event: Any) -> None:
            d.iteration_id = str(frame["iteration"].iloc[event.row])

        table.on_click(choose)
        go = pmui.Button(
            label=say("open_leads", d.lang), icon="arrow_forward", size="small", on_click=lambda _e: d.param.update(tab="leads")
        )
        head = pn.Row(_html(f'<p class="muted">{say("choose_iteration", d.lang)}</p>'), pn.Spacer(sizing_mode="stretch_width"), go)
        return pn.Column(
            _paper(head, table),
            _paper(self._precision(), title=say("precision_title", d.lang)),
            _paper(_html(markup.metrics_table(d)), title=say("metrics_title", d.lang)),
            sizing_mode="stretch_width",
        )

    def _precision(self) -> Any:
        d = self.desk
        points = d.precision_points()
        if points.empty:
            return _html(f'<p class="muted">{say("precision_none", d.lang)}</p>')
        yardsticks = list(dict.fromkeys(points["against"]))
        order = [i.id for i in d.shelf.iterations]
        pictures_ = [
            pn.Column(
                _html(f'<p class="muted">{say("held_against", d.lang)}: {_escaped(markup.yardstick(a, d.lang))}</p>'),
                pn.pane.Bokeh(pictures.precision_figure(points[points["against"] == a], order, d.lang), sizing_mode="stretch_width"),
                sizing_mode="stretch_width",
            )
            for a in yardsticks
        ]
        return pn.FlexBox(*pictures_, sizing_mode="stretch_width", flex_wrap="nowrap") if len(pictures_) > 1 else pictures_[0]

    # leads -----------------------------------------------------------------------------------------------------

    def _leads(self) -> Any:
        d = self.desk
        ids = [i.id for i in d.shelf.iterations]
        iteration = pmui.Select.from_param(d.param.iteration_id, name=say("iteration", d.lang), options=ids, size="small", width=300)
        queue = pmui.RadioButtonGroup.from_param(
            d.param.queue,
            name="",
            options={say(f"queue_{q}", d.lang): q for q in QUEUES},
            size="small",
            margin=(8, 10),
            sx=_TOGGLES,
        )
        search = pmui.TextInput.from_param(d.param.search, name=say("search", d.lang), size="small", width=260, sizing_mode=None)
        kinds = pn.bind(self._kind_choice, d.param.iteration_id)
        body = pn.Row(
            _paper(pn.bind(self._queue_table, d.param.iteration_id, d.param.queue, d.param.kind, d.param.search), width=632),
            pn.Column(
                pn.bind(self._problem, d.param.iteration_id),
                _paper(pn.bind(self._card, d.param.lead_id)),
                _paper(pn.bind(self._why, d.param.lead_id), title=say("explanation", d.lang)),
                _paper(self._series(), title=say("series", d.lang)),
                _paper(pn.bind(self._basis, d.param.lead_id)),
                sizing_mode="stretch_width",
                styles=_PANE,
            ),
            sizing_mode="stretch_width",
        )
        return pn.Column(
            _paper(pn.FlexBox(iteration, kinds, search, queue, align_items="center", sizing_mode="stretch_width")),
            body,
            sizing_mode="stretch_width",
        )

    def _kind_choice(self, _iteration: str) -> Any:
        d = self.desk
        options: dict[Any, Any] = {say("all_kinds", d.lang): ""} | {kind_word(k, d.lang): k for k in d.kinds()}
        if d.kind not in options.values():
            d.kind = ""
        return pmui.Select.from_param(d.param.kind, name=say("kind", d.lang), options=options, size="small", width=220)

    def _problem(self, _iteration: str) -> Any:
        text = self.desk.problem()
        return _html(markup.notice(text, self.desk.lang, level="warn"), margin=(8, 8, 0, 8)) if text else pn.Spacer(height=0)

    def _queue_table(self, *_filters: Any) -> Any:
        d = self.desk
        frame = d.lead_table()
        count = _html(f'<p class="muted">{say("shown", d.lang, n=len(frame), total=d.lead_total())}</p>')
        if frame.empty:
            return pn.Column(count, _html(markup.notice(say("no_leads", d.lang), d.lang)), sizing_mode="stretch_width")
        table = _grid(
            frame.drop(columns="lead_id"),
            titles={c: say(f"col_{c}", d.lang) for c in ("rank", "p", "enterprise", "kind", "queue", "start")},
            widths={"rank": 44, "p": 64, "enterprise": 168, "kind": 136, "queue": 76, "start": 92},
            height=min(680, 60 + 36 * len(frame)),
            selected=list(frame.index[frame["lead_id"] == d.lead_id]),
            formatters={"p": NumberFormatter(format="0.0 %")},
        )

        def choose(event: Any) -> None:
            d.lead_id = str(frame["lead_id"].iloc[event.row])

        table.on_click(choose)
        return pn.Column(count, table, sizing_mode="stretch_width")

    def _card(self, _lead: str) -> Any:
        return _html(markup.lead_card(self.desk))

    def _basis(self, _lead: str) -> Any:
        return _html(markup.basis(self.desk)) if self.desk.lead() is not None else pn.Spacer(height=0)

    def _why(self, _lead: str) -> Any:
        d = self.desk
        ids = d.explainable()
        if not ids:
            return _html(f'<p class="muted">{say("shap_none", d.lang)}</p>')
        own = {f["finding_id"]: f for f in d.lead_findings().to_dict("records")}
        names = {}
        for i in ids:
            if i == d.lead_id:
                names[say("explain_lead", d.lang)] = i
            else:
                row = own[i]
                span = markup.span_text(row["start"], row["end"])
                names[say("explain_finding", d.lang, detector=detector_title(row["model"], row["detector"], d.lang), span=span, id=i)] = i
        choice = pmui.Select.from_param(d.param.explained, name="", options=names, size="small", sizing_mode="stretch_width")
        return pn.Column(choice, pn.bind(self._bars, d.param.explained), sizing_mode="stretch_width")

    def _bars(self, _explained: str) -> Any:
        d = self.desk
        rows = d.attributions()
        if rows.empty:
            return _html(f'<p class="muted">{say("shap_none", d.lang)}</p>')
        base, score, total = float(rows["base"].iloc[0]), float(rows["score"].iloc[0]), float(rows["contribution"].sum())
        p = 1 / (1 + 2.718281828459045**-score)
        text = say("shap_sum", d.lang, base=f"{base:+.2f}", sum=f"{total:+.2f}", score=f"{score:+.2f}", p=markup.percent(p))
        figure = pn.pane.Bokeh(pictures.shap_figure(rows, d.lang), sizing_mode="stretch_width")
        return pn.Column(figure, _html(f'<p class="muted">{_escaped(text)}</p>'), sizing_mode="stretch_width")

    def _series(self) -> Any:
        d = self.desk
        window = pmui.RadioButtonGroup.from_param(
            d.param.window, name="", options={say(f"window_{w}", d.lang): w for w in WINDOWS}, size="small", sx=_TOGGLES
        )
        channels = pn.bind(self._channel_choice, d.param.lead_id)
        drawn = pn.bind(self._drawn, d.param.channels, d.param.window)
        return pn.Column(window, channels, drawn, sizing_mode="stretch_width")

    def _channel_choice(self, _lead: str) -> Any:
        d = self.desk
        points = d.points()
        if points.empty:
            return pn.Spacer(height=0)
        options = {point_label(p, d.lang): str(p["point_id"]) for p in points.to_dict("records")}
        return pmui.MultiChoice.from_param(d.param.channels, name=say("channels", d.lang), options=options, sizing_mode="stretch_width")

    def _drawn(self, _channels: list[str], _window: str) -> Any:
        d = self.desk
        traces, why = d.traces()
        parts: list[Any] = []
        if changed := d.changed_since() if traces else []:
            parts.append(_html(markup.notice(say("catalog_changed", d.lang, entries=", ".join(changed)), d.lang, level="warn")))
        if why:
            parts.append(_html(markup.notice(why, d.lang, level="warn")))
        lead, bounds = d.lead(), d.window_bounds()
        if traces and lead is not None and bounds is not None:
            picture = pictures.series_figures(traces, (lead["start"], lead["end"]), bounds, d.lang)
            parts.append(pn.pane.Bokeh(picture, sizing_mode="stretch_width"))
            parts.append(_html(f'<p class="muted"><span class="swatch"></span>{_escaped(say("span_shaded", d.lang))}</p>'))
        return pn.Column(*parts, sizing_mode="stretch_width")


def _html(text: str, **options: Any) -> Any:
    return pn.pane.HTML(text, **{"stylesheets": [markup.stylesheet()], "sizing_mode": "stretch_width", "margin": (4, 6)} | options)


def _escaped(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))


def _paper(*parts: Any, title: str = "", width: int | None = None, **options: Any) -> Any:
    inside = [_html(f"<h3>{_escaped(title)}</h3>"), *parts] if title else list(parts)
    size: dict[str, Any] = {"width": width, "min_width": width} if width else {"sizing_mode": "stretch_width"}
    return pmui.Paper(*inside, elevation=0, variant="outlined", margin=8, sx={"padding": "10px 12px"}, **size, **options)


def _grid(
    frame: pd.DataFrame,
    *,
    titles: dict[str, str],
    widths: dict[str, int],
    height: int,
    selected: list[int],
    formatters: dict[str, Any] | None = None,
) -> Any:
    plain = {c: {"type": "plaintext"} for c in frame}  # escapes: names come from people's files
    return pn.widgets.Tabulator(
        frame,
        titles=titles,
        widths=widths,
        height=height,
        selection=selected,
        formatters=plain | (formatters or {}),
        show_index=False,
        disabled=True,
        selectable=1,
        header_filters=False,
        theme="simple",
        layout="fit_columns",
        stylesheets=[markup.stylesheet("grid.css")],
        sizing_mode="stretch_width",
    )
