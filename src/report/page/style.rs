//! The style sheet of a page.
//!
//! The colors of series are those of Okabe and Ito, which are distinguishable with any kind of color vision; the
//! dark theme has lighter variants.

pub(crate) const CSS: &str = "
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --surface: #ffffff; --line: #dfe3e8;
  --text: #1c2126; --muted: #59636e;
  --good: #00704f; --good-ground: #e5f4ee;
  --warning: #8f3c00; --warning-ground: #fdeee2;
  --plot-text: #59636e; --plot-grid: #e6e9ed; --plot-axis: #aab3bd;
  --series-1: #0072b2; --series-2: #d55e00; --series-3: #009e73;
  --series-4: #b5528f; --series-5: #c98a00; --series-6: #56b4e9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12161b; --surface: #1a2027; --line: #2d353f;
    --text: #e4e8ed; --muted: #9aa6b2;
    --good: #5fd3ab; --good-ground: #12302a;
    --warning: #ffb27a; --warning-ground: #3a2415;
    --plot-text: #9aa6b2; --plot-grid: #2a323b; --plot-axis: #566270;
    --series-1: #56b4e9; --series-2: #f58a4b; --series-3: #2fc295;
    --series-4: #e08fc0; --series-5: #f0c04a; --series-6: #8f9bff;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif;
  -webkit-text-size-adjust: 100%;
}
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.5rem 2rem; }
h1, .subtitle, .note, .prose, .lead, .value, .text { overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2; letter-spacing: -0.01em; }
h2 { margin: 2.75rem 0 0; font-size: 1.25rem; }
.subtitle { margin: 0.35rem 0 0; color: var(--muted); }
.prose { margin: 0.35rem 0 0; max-width: 46rem; color: var(--muted); }
.lead { margin: 0.35rem 0 0; max-width: 60rem; font-size: 1.125rem; }
.small { font-size: 0.8125rem; line-height: 1.45; color: var(--muted); }
.note { margin: 1.25rem 0 0; padding: 0.75rem 1rem; border-left: 4px solid; border-radius: 6px; }
.note.good { border-color: var(--good); background: var(--good-ground); }
.note.warning { border-color: var(--warning); background: var(--warning-ground); }
.good strong { color: var(--good); }
.warning strong { color: var(--warning); }
.cards {
  display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 0.75rem; margin: 1.25rem 0 0;
}
.cards div, figure, .table { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; }
.cards div { padding: 0.8rem 1rem; }
dt { font-size: 0.8125rem; color: var(--muted); }
dd { margin: 0; }
.cards .small { text-wrap: balance; }
.value { font-size: 1.5rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
.pair {
  display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.75rem; margin-top: 1rem; align-items: start;
}
.pair figure { height: 100%; }
figure { margin: 0; padding: 1rem 1.25rem; }
figcaption { font-weight: 600; }
figure .small { margin: 0.5rem 0 0; }
.legend {
  display: flex; flex-wrap: wrap; gap: 0.1rem 1.1rem; margin: 0.15rem 0 0.6rem; padding: 0; list-style: none;
  font-size: 0.8125rem; color: var(--muted);
}
.legend li { display: flex; align-items: center; gap: 0.4rem; }
.key { width: 1.25rem; height: 0.85rem; flex: none; }
.key * { vector-effect: non-scaling-stroke; }
.key .dashed { stroke-dasharray: 4 3; }
.drawing { position: relative; }
.plot { display: block; width: 100%; height: auto; overflow: visible; touch-action: pan-y; }
.plot:focus-visible { outline: 2px solid var(--plot-axis); outline-offset: 4px; border-radius: 4px; }
.values {
  position: absolute; z-index: 1; pointer-events: none; width: max-content; max-width: 100%;
  padding: 0.3rem 0.6rem; border: 1px solid var(--plot-axis); border-radius: 6px; background: var(--surface);
  font-size: 0.8125rem; line-height: 1.4; font-variant-numeric: tabular-nums;
}
.values[hidden] { display: none; }
.values b, .values span { display: block; }
.values span { padding-left: 0.5rem; border-left: 4px solid var(--key); margin-top: 2px; }
.plot text { font-family: inherit; font-size: 54px; font-variant-numeric: tabular-nums; }
.plot * { vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.plot .dashed { stroke-dasharray: 5 5; }
.table { margin-top: 0.75rem; padding-bottom: 0.3rem; }
.pair .table { margin-top: 0; }
.scrolls {
  overflow-x: auto; container-type: inline-size; border-radius: inherit;
  background:
    linear-gradient(to left, var(--surface) 40%, transparent) right / 4rem 100% no-repeat local,
    linear-gradient(to left, var(--plot-axis), transparent) right / 1.25rem 100% no-repeat scroll;
}
.wide { width: min-content; min-width: 100%; }
.hint {
  position: sticky; left: 0; height: 0; margin: 0; overflow: hidden; white-space: nowrap;
  width: clamp(0px, (100% - 100cqw - 1px) * 999, 100cqw);
  padding-top: clamp(0px, (100% - 100cqw - 1px) * 999, 2rem);
}
.hint span { position: absolute; left: 1rem; bottom: 0.1rem; font-size: 0.8125rem; color: var(--warning); }
.table .small { margin: 0.3rem 1rem 0.6rem; }
table { width: 100%; border-collapse: collapse; font-size: 0.9375rem; }
caption { padding: 0.8rem 1rem 0.3rem; text-align: left; font-weight: 600; }
th, td { padding: 0.4rem 0.65rem; border-top: 1px solid var(--line); text-align: left; vertical-align: baseline; }
thead th { border-top: 0; font-size: 0.8125rem; font-weight: 500; color: var(--muted); }
th:first-child { position: sticky; left: 0; padding-left: 1rem; background: var(--surface); }
th:last-child, td:last-child { padding-right: 1rem; }
tbody th { font-weight: 400; }
.text { min-width: 14rem; }
.short { white-space: nowrap; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
details { margin-top: 0.75rem; }
summary {
  padding: 0.6rem 1rem; cursor: pointer; font-weight: 600;
  background: var(--surface); border: 1px solid var(--line); border-radius: 10px;
}
.run { margin: 0.35rem 0 0; font-size: 0.8125rem; color: var(--muted); overflow-wrap: anywhere; }
code { font-family: ui-monospace, 'DejaVu Sans Mono', monospace; }
footer { margin-top: 2.5rem; font-size: 0.8125rem; color: var(--muted); }
@media (max-width: 56rem) {
  .pair { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 34rem) {
  main { padding: 1.5rem 1rem; }
  h1 { font-size: 1.375rem; }
  .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .value { font-size: 1.25rem; }
  figure { padding: 0.8rem; }
  .plot text { font-size: 68px; }
  table { font-size: 0.875rem; }
  th, td, th:first-child, th:last-child, td:last-child { padding: 0.4rem 0.5rem; }
  caption { padding: 0.8rem 0.5rem 0.3rem; }
  .table .small { margin: 0.3rem 0.5rem 0.6rem; }
  .hint span { left: 0.5rem; }
}
@media print {
  .values, .cursor, .hint { display: none; }
  .scrolls { overflow: visible; }
  table { font-size: 0.6875rem; }
  th, td, th:first-child, th:last-child, td:last-child { padding: 0.2rem 0.4rem; }
  details::details-content { content-visibility: visible; }
  figure, .table, .cards div { break-inside: avoid; }
}
";

/// Only the colors.
pub(super) fn colors() -> &'static str {
    CSS.split("* {").next().unwrap_or(CSS)
}
