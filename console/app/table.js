// A table whose rows are shown again and again with new values.

import { el, fill } from './dom.js';
import { t } from './i18n.js';
import { region } from './parts.js';

// table makes one. Its columns are { title, cell, order?, descending?, number? }: cell(item) is what is in a cell,
// order(item) what the table can be sorted by, first the other way round if it is descending, as numbers are. key(item)
// tells rows apart: the same key keeps its elements, and a cell that has not changed keeps its content, so that focus, a
// selection and a click under way outlive show(items). Of the sorted items the first `most` are shown.
export function table({ label, columns, key, sort, most = Infinity }) {
  let items = [];
  let { by, descending = false } = sort ?? {};
  const rows = new Map();
  // The roles say what the elements are by themselves, until the style of a narrow window makes blocks of them.
  const heads = columns.map(column => el('th', { scope: 'col', role: 'columnheader', class: column.number && 'number' },
    column.order ? el('button', { type: 'button', onclick: () => sortBy(column) }, column.title) : column.title));
  const body = el('tbody', { role: 'rowgroup' });
  const element = region(label, el('table', { role: 'table', 'aria-label': label },
    el('thead', { role: 'rowgroup' }, el('tr', { role: 'row', 'data-label': t('parts.sort') }, heads)), body));

  function sortBy(column) {
    [by, descending] = [column, by === column ? !descending : Boolean(column.descending ?? column.number)];
    show(items);
  }

  function show(next) {
    items = next;
    heads.forEach((head, i) => {
      if (!columns[i].order) return;
      head.setAttribute('aria-sort', columns[i] !== by ? 'none' : descending ? 'descending' : 'ascending');
    });
    const sorted = by ? items.toSorted((a, b) => compare(by.order(a), by.order(b)) * (descending ? -1 : 1)) : items;
    const shown = sorted.slice(0, most);
    const seen = new Set(shown.map(key));
    for (const [id, row] of rows) {
      if (!seen.has(id)) {
        row.remove();
        rows.delete(id);
      }
    }
    shown.forEach((item, i) => {
      const row = update(item);
      if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null);
    });
  }

  function update(item) {
    let row = rows.get(key(item));
    if (!row) {
      row = el('tr', { role: 'row' }, columns.map((column, i) => el(i ? 'td' : 'th',
        { scope: !i && 'row', role: i ? 'cell' : 'rowheader', class: column.number && 'number', 'data-label': column.title })));
      rows.set(key(item), row);
    }
    columns.forEach((column, i) => {
      const fresh = fill(row.cells[i].cloneNode(), column.cell(item));
      if (!row.cells[i].isEqualNode(fresh)) fill(row.cells[i], ...fresh.childNodes);
    });
    return row;
  }

  return { element, show };
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
