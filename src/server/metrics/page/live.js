/* Draws what /samples returns: a point a second, ten minutes back. */
'use strict';
(() => {
  /* The time that is drawn, from the first sample on. */
  const SPAN_S = 600, SPAN_MIN_S = 60;
  const POLL_MS = 1000, TIMEOUT_MS = 5000;
  /* Lines are interrupted where samples are further apart. */
  const BREAK_S = 3;
  const NONE = '–';

  /* Numbers as in the reports: three significant digits, all digits of whole numbers. */
  const threeDigits = (value) => {
    const size = Math.abs(value), decimals = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
    const digits = value.toFixed(decimals);
    return decimals ? String(Number(digits)) : digits.replace(/\B(?=(\d{3})+$)/g, ',');
  };
  const scaled = (units) => (value) => {
    const [size, name] = units.find(([size]) => Math.abs(value) >= 0.9995 * size) || units[units.length - 1];
    return threeDigits(value / size) + (name && ` ${name}`);
  };
  const withPrefix = scaled([[1e15, 'P'], [1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, '']]);
  const number = (value) => Math.abs(value) < 1e9 ? threeDigits(value) : withPrefix(value);
  const rate = (value) => `${number(value)}/s`;
  const time = scaled([[1e6, 's'], [1e3, 'ms'], [1, 'µs']]);
  const bytes = scaled([[2 ** 50, 'PiB'], [2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B']]);
  const share = (value) => value > 0 && value < 1e-4 ? '< 0.01 %' : `${threeDigits(value * 100)} %`;
  const known = (value, format) => value == null ? NONE : format(value);
  const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString('en-GB');
  const uptime = (seconds) => {
    const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
    const first = Math.max(units.findIndex(([size]) => seconds >= size), 0);
    const rest = [Infinity, ...units.map(([size]) => size)];
    const parts = units.map(([size, name], index) => `${Math.floor(seconds % rest[index] / size)} ${name}`);
    return parts.slice(first, first + 2).join(' ');
  };

  /* The increments of axes. */
  const multiples = (base, factors, from, to) => Array.from({length: to - from}, (_, index) => base ** (from + index))
    .flatMap((power) => factors.map((factor) => factor * power));
  const WHOLE = multiples(10, [1, 2, 5], 0, 18), DECIMAL = multiples(10, [1, 2, 5], -2, 18);
  const BINARY = multiples(2, [1], 0, 60);

  /* What is drawn: the names of series and of their values in a row, the number of their color. */
  const series = (color, name, of) => ({color, name, of});
  const PLOTS = [
    {
      id: 'connections', format: number, tick: withPrefix, increments: WHOLE,
      series: [series(1, 'open', 'open')],
      note: (row) => `accepted ${known(row.accepted, rate)} · closed ${known(row.closed, rate)}`,
    },
    {
      id: 'messages', format: rate, tick: withPrefix, increments: DECIMAL,
      series: [series(1, 'per second', 'messages')],
      note: (row) => `${number(row.sample.messages)} in total · ${known(row.received, bytes)}/s`,
    },
    {
      id: 'turns', format: time, tick: time, isLogarithmic: true,
      series: [series(1, 'p50', 'p50'), series(3, 'p99', 'p99'), series(2, 'longest', 'longest')],
      note: (row) => `turns ${known(row.turns, rate)}`,
      isUsed: ({sample}) => sample.turns > 0,
    },
    {
      id: 'refused', format: rate, tick: withPrefix, increments: DECIMAL,
      series: [series(2, 'per second', 'refused')],
      note: (row) => `${number(row.sample.refused)} in total`,
    },
    {
      id: 'memory', format: bytes, tick: bytes, increments: BINARY,
      series: [series(1, 'used', 'memory'), {...series(4, 'budget', 'budget'), isLimit: true}],
      note: (row) => row.budget ? `${share(row.memory / row.budget)} of the budget is used` : '',
    },
    {
      id: 'datagrams', format: rate, tick: withPrefix, increments: DECIMAL,
      series: [series(1, 'received', 'datagrams'), series(2, 'dropped', 'dropped')],
      note: ({sample}) => `${number(sample.datagrams)} received, ${number(sample.datagrams_dropped)} dropped in total`,
      isUsed: ({sample}) => sample.datagrams > 0 || sample.datagrams_dropped > 0,
    },
  ];
  const COUNTERS = {
    accepted: 'accepted', closed: 'closed', refused: 'refused', messages: 'messages', received: 'received_bytes',
    datagrams: 'datagrams', dropped: 'datagrams_dropped', turns: 'turns',
  };

  /* The values of a sample, with rates since the one before it; without one, there are no rates. */
  const toRow = (sample, before) => {
    const row = {
      t: sample.t, sample, open: sample.open, memory: sample.memory_used, budget: sample.memory_budget || null,
      p50: sample.turn_us_p50 || null, p99: sample.turn_us_p99 || null, longest: sample.turn_us_max || null,
    };
    for (const [name, counter] of Object.entries(COUNTERS))
      row[name] = before ? (sample[counter] - before[counter]) / (sample.t - before.t) : null;
    return row;
  };

  /* The rows of the last ten minutes. One of nothing but a time interrupts the lines. */
  let rows = [], isInterrupted = false;
  const lastRow = () => rows[rows.length - 1];
  const span = () => rows.length ? [Math.min(rows[0].t, lastRow().t - SPAN_MIN_S), lastRow().t] : [0, SPAN_MIN_S];
  const record = (sample) => {
    /* The clock was set back. */
    if (rows.length && sample.t <= lastRow().t) rows = [];
    const last = lastRow()?.sample;
    const restarted = isInterrupted || last && Object.values(COUNTERS).some((name) => sample[name] < last[name]);
    if (last && (restarted || sample.t - last.t > BREAK_S)) rows.push({t: (last.t + sample.t) / 2});
    rows.push(toRow(sample, restarted ? null : last));
    rows.splice(0, rows.findIndex(({t}) => t >= sample.t - SPAN_S));
    isInterrupted = false;
  };

  const find = (id) => document.getElementById(id);
  const add = (parent, name, attributes = {}) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return parent.appendChild(element);
  };
  /* What has not changed is not announced again. */
  const setText = (element, text) => element.textContent === text || (element.textContent = text);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

  class Plot {
    constructor(options) {
      Object.assign(this, options);
      this.figure = find(this.id);
      this.title = this.figure.querySelector('figcaption').textContent;
      const list = add(this.figure, 'dl');
      this.values = this.series.map(({color, name}) => {
        const entry = add(list, 'div', {class: `key-${color}`});
        add(entry, 'dt').textContent = name;
        return add(entry, 'dd', {class: 'value'});
      });
      this.below = add(this.figure, 'p', {class: 'small'});
      this.drawing = add(this.figure, 'div', {class: 'drawing', role: 'img', tabindex: 0});
      this.tag = add(this.drawing, 'div', {class: 'tag small', hidden: ''});
      this.chart = new uPlot(this.chartOptions(), this.data(), this.drawing);
      new ResizeObserver(() => this.chart.setSize(this.size())).observe(this.drawing);
    }

    size() {
      return {width: Math.max(this.drawing.clientWidth, 1), height: Math.max(this.drawing.clientHeight, 1)};
    }

    data() {
      return [rows.map(({t}) => t), ...this.series.map(({of}) => rows.map((row) => row[of] ?? null))];
    }

    chartOptions() {
      const axis = {
        stroke: () => color('--plot-text'), grid: {stroke: () => color('--plot-grid'), width: 1},
        ticks: {show: false}, font: '12px system-ui, sans-serif', gap: 6,
      };
      const ignored = () => null;
      const powers = (_, at) => at.map((y) => this.isLogarithmic && Math.log10(y) % 1 !== 0 ? null : y);
      return {
        ...this.size(),
        /* At the top, the time under the pointer must not cover the lines. */
        padding: [18, 30, 0, 0],
        legend: {show: false},
        /* The pointer is followed by this script, which knows touch and keys as well. */
        cursor: {
          y: false, points: {size: 8}, drag: {x: false, y: false},
          bind: {
            mousedown: ignored, mouseup: ignored, click: ignored, dblclick: ignored, mousemove: ignored,
            mouseleave: ignored, mouseenter: ignored,
          },
        },
        scales: {
          x: {range: span},
          y: {range: (_, low, high) => this.range(low, high), distr: this.isLogarithmic ? 3 : 1},
        },
        axes: [
          {
            ...axis, size: 28, gap: 10, space: 70, incrs: [15, 30, 60, 120, 180, 300],
            values: (_, at) => at.map((t) => clock(t).slice(0, at.some((t) => t % 60) ? 8 : 5)),
          },
          {...axis, size: 64, space: 26, filter: powers, grid: {...axis.grid, filter: powers}, incrs: this.increments, values: (_, at) => at.map((y) => y === null ? null : this.tick(y))},
        ],
        series: [{}, ...this.series.map(({name, color: key, isLimit}) => ({
          label: name, width: 1.5, auto: !isLimit, dash: isLimit ? [6, 4] : undefined,
          stroke: () => color(`--series-${key}`), points: {size: 4, fill: () => color(`--series-${key}`)},
        }))],
      };
    }

    /* From zero, or from a power of ten. A limit is shown from half of it on. */
    range(low, high) {
      if (this.isLogarithmic)
        return [10 ** Math.floor(Math.log10(low > 0 ? low : 1)), 10 ** Math.ceil(Math.log10(high > 0 ? high * 1.01 : 100))];
      const limit = this.series.some(({isLimit}) => isLimit) && lastRow()?.budget || Infinity;
      return [0, high > 0 ? 1.1 * (high >= limit / 2 ? Math.max(high, limit) : high) : 1];
    }

    update() {
      this.figure.hidden = Boolean(this.isUsed) && !rows.some((row) => row.sample && this.isUsed(row));
      /* At once, because positions are asked for next. */
      this.chart.batch(() => this.chart.setData(this.data()));
      this.drawing.setAttribute('aria-label', `${this.title}, last ten minutes. Now: ${this.words(lastRow())}.`);
    }

    /* The values of `row` in a sentence. */
    words(row) {
      return this.series.map(({name, of}) => `${name} ${known(row?.[of], this.format)}`).join(', ');
    }

    /* Shows the values of the row with this index, or the last ones. */
    show(index) {
      const isPast = index >= 0, row = isPast ? rows[index] : lastRow();
      this.series.forEach(({of}, at) => setText(this.values[at], known(row?.[of], this.format)));
      setText(this.below, row ? this.note(row) : '');
      const left = isPast ? this.chart.valToPos(row.t, 'x') : -10;
      this.chart.setCursor({left, top: left});
      this.tag.hidden = !isPast;
      if (!isPast) return;
      setText(this.tag, clock(row.t));
      /* Beside the line, on the side with more space. */
      const line = left + this.chart.over.offsetLeft, isRight = line < this.drawing.clientWidth / 2;
      this.tag.style.left = `${isRight ? line + 6 : line - 6 - this.tag.offsetWidth}px`;
    }
  }

  const plots = PLOTS.map((options) => new Plot(options));

  /* The index of the row that all plots show the values of, as a function, because rows move; -1 is the last one. */
  const NOWHERE = () => -1;
  let pointed = NOWHERE;
  const point = (index) => {
    pointed = index;
    const at = index();
    for (const plot of plots) plot.show(at);
  };
  const nearest = (t) => rows.reduce(
    (best, row, index) => row.sample && (best < 0 || Math.abs(row.t - t) < Math.abs(rows[best].t - t)) ? index : best, -1);
  const isRow = ({sample}) => Boolean(sample);
  const KEYS = {
    ArrowLeft: () => rows.slice(0, pointed() < 0 ? rows.length : pointed()).findLastIndex(isRow),
    ArrowRight: () => rows.findIndex((row, index) => index > pointed() && isRow(row)),
    Home: () => rows.findIndex(isRow),
    End: () => rows.findLastIndex(isRow),
    Escape: NOWHERE,
  };
  for (const plot of plots) {
    const {drawing, chart} = plot;
    const under = ({clientX}) => {
      const {left, width} = chart.over.getBoundingClientRect();
      const x = Math.min(Math.max(clientX - left, 0), width);
      point(() => nearest(chart.posToVal(x, 'x')));
    };
    drawing.addEventListener('pointerdown', under);
    drawing.addEventListener('pointermove', under);
    drawing.addEventListener('pointerleave', ({pointerType}) => pointerType === 'mouse' && point(NOWHERE));
    drawing.addEventListener('blur', ({relatedTarget}) => relatedTarget?.closest('.drawing') || point(NOWHERE));
    drawing.addEventListener('keydown', (event) => {
      const next = KEYS[event.key]?.();
      if (next === undefined) return;
      event.preventDefault();
      if (next < 0) return event.key === 'Escape' ? point(NOWHERE) : undefined;
      const {t} = rows[next];
      point(() => rows.findIndex((row) => row.t === t));
      setText(find('spoken'), `${clock(t)}: ${plot.words(rows[next])}`);
    });
  }
  document.addEventListener('pointerdown', (event) => event.target.closest('.drawing') || point(NOWHERE));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plots.forEach(({chart}) => chart.redraw()));

  /* The server, as its last answer and the time of the first failure after it show it. */
  let next = 0, server = null, failedAt = null, isPaused = false, isPolling = false, timer = 0;

  const state = () => {
    const [start, end] = [server?.stopping ? 'The server was stopping, and' : 'The server', 'Asking again every second.'];
    if (isPaused) return ['', 'Paused.', 'Values are no longer updated.'];
    if (failedAt !== null) return ['warning', 'No answer.', `${start} has not answered since ${clock(failedAt / 1000)}. ${end}`];
    if (!server) return ['', 'Connecting.', ''];
    if (server.stopping) return ['warning', 'Stopping.', 'The server closes its connections and ends.'];
    return ['good', 'Serving.', ''];
  };
  const draw = () => {
    const [tone, verdict, reason] = state(), element = find('state');
    element.className = `note ${tone}`;
    setText(element.firstElementChild, verdict);
    setText(element.lastElementChild, reason);
    document.title = `${tone === 'warning' ? `${verdict} ` : ''}loopline ${location.host}`;
    document.body.classList.toggle('stale', failedAt !== null || isPaused);
    const seconds = lastRow() && server ? lastRow().t - server.started : NaN;
    const facts = [server?.version, server?.model, seconds >= 0 && `up ${uptime(seconds)}`, location.host];
    setText(find('server'), facts.filter(Boolean).join(' · '));
    for (const plot of plots) plot.update();
    point(pointed);
  };

  /* The next reply, or null. */
  const fetchSamples = async () => {
    try {
      const response = await fetch(`samples?after=${next}`, {cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS)});
      const reply = response.ok ? await response.json() : null;
      return Array.isArray(reply?.samples) ? reply : null;
    } catch {
      return null;
    }
  };
  const poll = async () => {
    clearTimeout(timer);
    if (isPolling || isPaused || document.hidden) return;
    isPolling = true;
    let reply = await fetchSamples();
    /* Another process counts its samples from the beginning. */
    if (reply && server && (reply.started !== server.started || reply.next < next)) {
      [next, isInterrupted] = [0, true];
      reply = await fetchSamples();
    }
    if (reply) {
      reply.samples.forEach(record);
      [next, server, failedAt] = [reply.next, reply, null];
      server.samples = null;
    } else failedAt ??= Date.now();
    isPolling = false;
    draw();
    timer = setTimeout(poll, POLL_MS);
  };
  document.addEventListener('visibilitychange', poll);
  find('pause').addEventListener('click', ({target}) => {
    isPaused = !isPaused;
    setText(target, isPaused ? 'Resume' : 'Pause');
    draw();
    poll();
  });
  draw();
  poll();
})();
