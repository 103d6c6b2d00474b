// The page is built of nodes. Nothing from an event, a client or a token is ever parsed as markup: text becomes a text
// node here, and there is no other way in.

// el creates an element. Of props, on* are listeners, class, dataset and other properties are set as such, the rest are
// attributes; null, undefined and false leave one out. Children are nodes or text.
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'dataset') Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

// fill replaces the content of an element.
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return element;
}
