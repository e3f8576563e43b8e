// Tables that sort by a heading and are filtered by words; drawings with values on hover, and zoom. All of it is optional.
const UNITS = {h: 3600, min: 60, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18};

// The number of a cell: the sum of "3 h 20 min", the first of "+1 to +3"; NaN of words.
function toNumber(text) {
  const plain = text.replace(/,/g, '').replace(/\u2212/g, '-');
  const found = [...plain.matchAll(/([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?) ?(h|min|[kMGTPE])?(?![a-zA-EG-Z])/g)];
  const parts = /^\d[\d.]* (h|min)\b/.test(plain) ? found : found.slice(0, 1);
  return parts.length ? parts.reduce((sum, part) => sum + part[1] * (UNITS[part[2]] ?? 1), 0) : NaN;
}

function sortRows(table, column, isDown, isNumber) {
  const read = row => row.cells[column]?.textContent.trim() ?? '';
  const rows = [...table.tBodies[0].rows].map(row => [isNumber ? toNumber(read(row)) : read(row), row]);
  const isMissing = value => value === '\u2013' || value === '' || Number.isNaN(value);
  rows.sort(([a], [b]) => isMissing(a) - isMissing(b) || (isMissing(a) ? 0 : (isDown ? -1 : 1)
    * (isNumber ? a - b : a.localeCompare(b, undefined, {numeric: true}))));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

function addSorting(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement('button'), isNumber = head.classList.contains('number');
    if (!head.textContent.trim()) return;
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const isDown = head.ariaSort ? head.ariaSort === 'ascending' : isNumber;
      heads.forEach(each => each.removeAttribute('aria-sort'));
      head.ariaSort = isDown ? 'descending' : 'ascending';
      sortRows(table, column, isDown, isNumber);
    });
  });
}

function addFilter(table) {
  const input = document.createElement('input');
  Object.assign(input, {type: 'search', placeholder: 'Filter rows', ariaLabel: 'Filter the rows of the table below'});
  input.addEventListener('input', () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) {
      row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
    }
  });
  table.caption.append(input);
}

for (const table of document.querySelectorAll('.scroll table')) {
  const rows = [...table.tBodies[0].rows];
  // A row without a heading belongs to the one above it.
  if (rows.length > 2 && rows.every(row => row.cells[0].textContent.trim())) {
    addSorting(table);
    if (rows.length > 9) addFilter(table);
  }
}

async function enliven(figure) {
  const place = document.createElement('div'), still = figure.querySelector('svg.wide');
  place.className = 'chart';
  await vegaEmbed(place, JSON.parse(figure.querySelector('script').textContent),
    {actions: false, renderer: 'svg', defaultStyle: false});
  place.querySelector('svg').ariaHidden = true;
  Object.assign(place, {role: 'img', ariaLabel: still.ariaLabel});
  figure.prepend(place);
  figure.classList.add('live');
}

// On a phone, a finger on a drawing scrolls the page.
if (matchMedia('(min-width: 46rem)').matches && !matchMedia('(pointer: coarse)').matches) {
  const seen = new IntersectionObserver(entries => entries.filter(entry => entry.isIntersecting).forEach(entry => {
    seen.unobserve(entry.target);
    enliven(entry.target).catch(console.error);
  }), {rootMargin: '300px'});
  document.querySelectorAll('figure').forEach(figure => seen.observe(figure));
}
