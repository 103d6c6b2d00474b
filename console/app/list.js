// A list of any length that keeps only the rows near the view in the document: about sixty, whatever their heights.
//
//   const list = new List(root, { row, key, label, signal, estimate, follow, onNeedBefore, onNeedAfter, onTop });
//
//   root           its own element; a feed (ARIA 1.2, role feed) while it has rows. The window scrolls, not the root.
//   row(item)      creates the item's <article>: without margins, and with an aria-labelledby or aria-label
//   key(item)      a string unique to the item
//   label          the feed's name for a screen reader
//   signal         aborted when the list is no longer needed
//   estimate       px of a row not shown yet; 80
//   follow         a list at its top stays there when items are prepended: a live feed
//   onNeedBefore(first), onNeedAfter(last)
//                  the first or last item is near the view: add more with prepend or append. Returns a promise, and is
//                  not called again until it settles; after false, not before clear() or a keep; after a rejection, at
//                  the next scroll. Neither is called while the list is empty.
//   onTop(is)      the list's top has come into view, or left it
//
//   list.append(items), list.prepend(items)    in display order
//   list.keepFirst(n), list.keepLast(n)        drop all others; more is requested at that end again
//   list.clear()
//   list.reveal(key)                           scroll there; false if there is no such item
//   list.rendered()                            [item, row] of the rows in the document
//   list.length, list.first, list.last, list.atTop
//
// What is in view stays put, whatever is added or changes above it. A call's cost is proportional to its items, and
// it touches the document only in the next frame. PageDown and PageUp move the focus by a row, Control+End and
// Control+Home out of the feed.

const OVERSCAN = 400; // px above and below the view, also in the document
const BLOCK_BITS = 7; // heights are summed per block of 128 rows, to find a position without visiting all

export class List {
  #root; #options;
  #rows = new Map(); // index -> { item, height }
  #indices = new Map(); // key -> index
  #sums = new Map(); // block -> px
  #start = 0; #end = 0; // the indices in use; prepended rows count down below 0
  #height = 0;
  #nodes = new Map(); // index -> row in the document
  #anchor = 0; // the row at the top of the view
  #shift = 0; // px added above the view since the last frame
  #frame = 0;
  #asked = {}; // onNeedBefore, onNeedAfter: in progress, or exhausted
  #atTop = true;
  #sizes = new ResizeObserver(entries => this.#measured(entries));

  constructor(root, options) {
    this.#root = root;
    this.#options = { estimate: 80, ...options };
    root.tabIndex = -1; // takes the focus from a row that leaves the document
    const { signal } = options;
    root.addEventListener('keydown', event => this.#key(event), { signal });
    window.addEventListener('scroll', () => this.#schedule(), { signal, passive: true });
    window.addEventListener('resize', () => this.#schedule(), { signal });
    signal?.addEventListener('abort', () => {
      cancelAnimationFrame(this.#frame);
      this.#sizes.disconnect();
    });
  }

  get length() { return this.#end - this.#start; }
  get first() { return this.#rows.get(this.#start)?.item; }
  get last() { return this.#rows.get(this.#end - 1)?.item; }
  get atTop() { return this.#atTop; }

  append(items) {
    for (const item of items) this.#add(this.#end++, item);
    this.#schedule();
  }

  prepend(items) {
    for (let i = items.length; i-- > 0;) this.#add(--this.#start, items[i]);
    this.#shift += items.length * this.#options.estimate;
    this.#schedule();
  }

  keepFirst(n) {
    if (this.length <= n) return;
    while (this.length > n) this.#remove(--this.#end);
    this.#asked.onNeedAfter = false;
    this.#schedule();
  }

  keepLast(n) {
    if (this.length <= n) return;
    while (this.length > n) this.#shift -= this.#remove(this.#start++);
    this.#asked.onNeedBefore = false;
    this.#schedule();
  }

  clear() {
    this.#rows.clear();
    this.#indices.clear();
    this.#sums.clear();
    this.#start = this.#end = this.#height = this.#shift = this.#anchor = 0;
    this.#asked = {};
    this.#show(0, 0);
    this.#schedule();
  }

  reveal(key) {
    const index = this.#indices.get(key);
    if (index === undefined) return false;
    this.#render();
    this.#scrollTo(index);
    return true;
  }

  * rendered() {
    for (const [index, node] of this.#nodes) {
      if (this.#rows.has(index)) yield [this.#rows.get(index).item, node];
    }
  }

  // --- heights

  #add(index, item) {
    this.#rows.set(index, { item, height: 0 });
    this.#indices.set(this.#options.key(item), index);
    this.#resize(index, this.#options.estimate);
  }

  // remove returns the row's height.
  #remove(index) {
    const { item, height } = this.#rows.get(index);
    this.#resize(index, 0);
    this.#rows.delete(index);
    this.#indices.delete(this.#options.key(item));
    return height;
  }

  // resize returns by how much the row has grown.
  #resize(index, height) {
    const row = this.#rows.get(index);
    const by = height - row.height;
    const block = index >> BLOCK_BITS;
    this.#sums.set(block, (this.#sums.get(block) ?? 0) + by);
    this.#height += by;
    row.height = height;
    return by;
  }

  // offset returns how far a row is below the first.
  #offset(index) {
    let top = 0;
    const block = index >> BLOCK_BITS;
    for (let b = this.#start >> BLOCK_BITS; b < block; b++) top += this.#sums.get(b);
    for (let i = Math.max(block << BLOCK_BITS, this.#start); i < index; i++) top += this.#rows.get(i).height;
    return top;
  }

  // find returns the row at a distance below the first one's top.
  #find(offset) {
    let index = this.#start, top = 0;
    for (let block = index >> BLOCK_BITS; index < this.#end; index = ++block << BLOCK_BITS) {
      const sum = this.#sums.get(block);
      if (top + sum > offset) break;
      top += sum;
    }
    for (; index < this.#end; index++) {
      top += this.#rows.get(index).height;
      if (top > offset) break;
    }
    return Math.min(index, this.#end);
  }

  // measured runs after layout and before paint, so nothing visibly jumps. New rows wait for the next frame: added now,
  // they would not be measured before it either.
  #measured(entries) {
    let above = 0;
    for (const { target, borderBoxSize: [{ blockSize }] } of entries) {
      const index = Number(target.dataset.index);
      if (this.#nodes.get(index) !== target || !this.#rows.has(index)) continue;
      const by = this.#resize(index, blockSize);
      if (index < this.#anchor) above += by;
    }
    if (above) window.scrollBy({ top: above, behavior: 'instant' });
    this.#schedule();
  }

  // --- the document

  #schedule() {
    if (!this.#options.signal?.aborted) this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  // render reads the layout once, before it writes anything.
  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const top = -this.#root.getBoundingClientRect().top;
    const atTop = top <= 0;
    const focused = document.activeElement.closest('[data-index]');
    const held = atTop && focused && this.#root.contains(focused); // a row has the focus, though the top is in view
    const shift = this.#options.follow && atTop && !held ? 0 : this.#shift;
    const view = top + shift;
    this.#shift = 0;
    this.#anchor = held ? Number(focused.dataset.index) : this.#find(view);
    const from = this.#find(view - OVERSCAN);
    const to = Math.min(this.#find(view + window.innerHeight + OVERSCAN) + 1, this.#end);
    this.#show(from, to);
    if (shift) window.scrollBy({ top: shift, behavior: 'instant' });
    if (atTop !== this.#atTop) this.#options.onTop?.(this.#atTop = atTop);
    if (this.length && from === this.#start) this.#ask('onNeedBefore', this.first);
    if (this.length && to === this.#end) this.#ask('onNeedAfter', this.last);
  }

  #scrollTo(index) {
    const margin = parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) || 0;
    window.scrollBy({ top: this.#root.getBoundingClientRect().top + this.#offset(index) - margin, behavior: 'instant' });
    this.#render();
  }

  #show(from, to) {
    this.#root.role = to > from ? 'feed' : null; // a feed needs an article
    this.#root.ariaLabel = to > from ? this.#options.label : null;
    for (const [index, node] of this.#nodes) {
      if (index >= from && index < to) continue;
      if (node.contains(document.activeElement)) this.#root.focus({ preventScroll: true });
      this.#sizes.unobserve(node);
      this.#nodes.delete(index);
      node.remove();
    }
    const open = this.#options.onNeedAfter && this.#asked.onNeedAfter !== 'over';
    const size = String(open ? -1 : this.length); // -1: unknown (ARIA 1.2)
    let next = this.#root.firstChild;
    for (let index = from; index < to; index++) {
      let node = this.#nodes.get(index);
      if (node) next = node.nextSibling;
      else this.#root.insertBefore(node = this.#make(index, this.#rows.get(index).item), next);
      const position = String(index - this.#start + 1);
      if (node.ariaPosInSet !== position) node.ariaPosInSet = position;
      if (node.ariaSetSize !== size) node.ariaSetSize = size;
    }
    const { style } = this.#root;
    const before = this.#offset(from);
    style.paddingTop = `${before}px`;
    style.paddingBottom = `${this.#height - this.#offset(to)}px`;
  }

  #make(index, item) {
    const node = this.#options.row(item);
    node.tabIndex = 0;
    node.dataset.index = index;
    this.#nodes.set(index, node);
    this.#sizes.observe(node);
    return node;
  }

  async #ask(which, item) {
    if (!this.#options[which] || this.#asked[which]) return;
    const asked = this.#asked;
    asked[which] = 'asked';
    let more;
    try {
      more = await this.#options[which](item);
    } catch {
      asked[which] = undefined; // the page has reported it
      return;
    }
    asked[which] = more === false ? 'over' : undefined;
    this.#schedule();
  }

  // --- the keyboard

  #key(event) {
    const { key, ctrlKey, altKey, metaKey, shiftKey, target } = event;
    if (altKey || metaKey || shiftKey) return;
    if (ctrlKey && (key === 'End' || key === 'Home')) {
      event.preventDefault();
      this.#leave(key === 'End');
    } else if (!ctrlKey && (key === 'PageDown' || key === 'PageUp')) {
      const row = target.closest('[data-index]');
      const index = row ? Number(row.dataset.index) + (key === 'PageDown' ? 1 : -1) : this.#anchor;
      if (index < this.#start || index >= this.#end) return;
      event.preventDefault();
      this.#focus(index);
    }
  }

  #focus(index) {
    if (!this.#nodes.has(index)) this.#scrollTo(index); // keys arrive faster than frames
    const node = this.#nodes.get(index);
    node.focus({ preventScroll: true });
    node.scrollIntoView({ block: 'nearest' });
  }

  #leave(forward) {
    const places = [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
      .filter(place => !place.disabled && !this.#root.contains(place) && place.checkVisibility());
    const where = forward ? Node.DOCUMENT_POSITION_FOLLOWING : Node.DOCUMENT_POSITION_PRECEDING;
    const outside = places.filter(place => this.#root.compareDocumentPosition(place) & where);
    (forward ? outside[0] : outside.at(-1))?.focus();
  }
}
