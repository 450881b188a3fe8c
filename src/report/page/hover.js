/* Shows the values of a plot under the pointer, at a touch, or by the arrow keys. Plots are complete without it. */
'use strict';
(() => {
  /* How far a point may be from the line under the pointer, in units of the drawing. */
  const REACH = 48;
  let hide = () => {};

  const nearest = (xs, x) =>
    xs.reduce((best, at, index) => Math.abs(at - x) < Math.abs(xs[best] - x) ? index : best, 0);

  const add = (parent, name, attributes, namespace = parent.namespaceURI) => {
    const element = document.createElementNS(namespace, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return parent.appendChild(element);
  };

  const attach = (svg, traces) => {
    const [left, top, width, height] = svg.dataset.area.split(' ').map(Number);
    const box = add(svg.parentElement, 'div', {class: 'values', role: 'status', hidden: ''});
    const cursor = add(svg, 'g', {class: 'cursor', visibility: 'hidden'});
    const line = add(cursor, 'line', {y1: top, y2: top + height, stroke: 'var(--text)'});
    const dots = traces.map(({key}) => add(cursor, 'circle', {r: 18, fill: `var(--series-${key})`}));
    const stops = [...new Set(traces.flatMap(({xs}) => xs))].sort((a, b) => a - b);
    let stop = -1;

    const conceal = () => {
      box.hidden = true;
      cursor.setAttribute('visibility', 'hidden');
    };
    const show = (x) => {
      if (hide !== conceal) hide();
      hide = conceal;
      stop = nearest(stops, x);
      x = stops[stop];
      let heading = null;
      const rows = traces.flatMap(({name, key, xs, ys, at, values}, number) => {
        const index = nearest(xs, x), near = Math.abs(xs[index] - x) <= REACH;
        dots[number].setAttribute('visibility', near ? 'inherit' : 'hidden');
        if (!near) return [];
        dots[number].setAttribute('cx', xs[index]);
        dots[number].setAttribute('cy', ys[index]);
        if (heading === null || xs[index] === x) heading = at[index];
        return [{name, key, at: at[index], value: values[index]}];
      });
      box.replaceChildren();
      add(box, 'b', {}).textContent = heading;
      for (const {name, key, at, value} of rows) {
        const row = add(box, 'span', {style: `--key: var(--series-${key})`});
        row.textContent = `${name}: ${value}` + (at === heading ? '' : ` at ${at}`);
      }
      line.setAttribute('x1', x);
      line.setAttribute('x2', x);
      cursor.setAttribute('visibility', 'visible');
      box.hidden = false;
      /* Beside the line, on the side with more space, and inside the drawing. */
      const size = svg.viewBox.baseVal, scale = svg.clientWidth / size.width;
      const beside = x < left + width / 2 ? x * scale + 12 : x * scale - 12 - box.offsetWidth;
      box.style.top = `${top * scale}px`;
      box.style.left = `${Math.max(0, Math.min(beside, svg.clientWidth - box.offsetWidth))}px`;
    };

    const under = (event) => {
      const {left, width} = svg.getBoundingClientRect();
      show((event.clientX - left) / width * svg.viewBox.baseVal.width);
    };
    svg.addEventListener('pointerdown', under);
    svg.addEventListener('pointermove', under);
    svg.addEventListener('pointerleave', (event) => event.pointerType === 'mouse' && conceal());
    svg.addEventListener('blur', conceal);
    svg.addEventListener('keydown', (event) => {
      const next = {ArrowLeft: stop - 1, ArrowRight: stop + 1, Home: 0, End: stops.length - 1}[event.key];
      if (event.key === 'Escape') conceal();
      if (next === undefined) return;
      event.preventDefault();
      show(stops[Math.min(Math.max(next, 0), stops.length - 1)]);
    });
    svg.tabIndex = 0;
  };

  for (const svg of document.querySelectorAll('svg.plot')) {
    const traces = [...svg.querySelectorAll('.trace')].map(({dataset}) => ({
      name: dataset.name,
      key: dataset.key,
      xs: dataset.x.split(' ').map(Number),
      ys: dataset.y.split(' ').map(Number),
      at: dataset.at.split('|'),
      values: dataset.values.split('|'),
    }));
    if (traces.length) attach(svg, traces);
  }
  document.addEventListener('pointerdown', (event) => event.target.closest('svg.plot') || hide());
})();
