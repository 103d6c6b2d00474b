// A table whose rows are updated again and again.

import { el, fill } from './dom.js';
import { t } from './i18n.js';
import { region } from './parts.js';

// table creates one. Its columns are { title, cell, order?, descending?, number? }: cell(item) returns a cell's
// content, order(item) a sort key, first in descending order if the column is descending, as numbers are. key(item)
// identifies rows: the same key keeps its elements, and an unchanged cell keeps its content, so that focus, a selection
// and a click in progress survive show(items). Only the first `most` of the sorted items are shown.
export function table({ label, columns, key, sort, most = Infinity }) {
  let items = [];
  let { by, descending = false } = sort ?? {};
  const rows = new Map();
  // The roles restate the elements' own, which are lost when a narrow window's style turns them into blocks.
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
