// The map of a project's products. It talks only to its own server.

const L = window.L;
const $ = (selector, within = document) => within.querySelector(selector);

// --- Data ---------------------------------------------------------------------------------------

/** Ask the server. An error's message is a sentence for people. */
async function ask(path) {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    throw new Error("The map's server does not answer. Start it: `python3 mlops_manager.py open maps`");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Error(said.detail ?? `The server answered with ${answer.status}.`);
  }
  return answer.json();
}

const encoded = (...parts) => parts.map(encodeURIComponent).join("/");
const layerPath = (view) => `/layers/${encoded(view.collection, view.item.id, view.layer.id)}`;
const byId = (list, id) => list.find((each) => each.id === id);

// --- Page ---------------------------------------------------------------------------------------

/** Make an element with attributes and children; texts are never read as HTML. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "style") made.style.cssText = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Show a sentence in which `commands` stand out. */
function say(place, text, bad = true) {
  place.hidden = !text;
  place.classList.toggle("bad", bad);
  place.replaceChildren(
    ...text.split("`").map((part, number) => (number % 2 ? element("code", {}, part) : part)),
  );
}

const message = $("#message");
let collections = [];
let collection = null;

/** One of the two sides: what it shows, and where it is chosen. */
class Side {
  constructor(name) {
    this.box = $(`[data-side=${name}]`);
    this.name = name;
    this.item = null;
    this.choices = [];
    this.layer = null;
    this.extent = null;
    this.tiles = null;
    this.wanted = 0;
    this.select = $(".item", this.box);
    this.select.addEventListener("change", () => this.show(this.select.value));
    $(".opacity", this.box).addEventListener("input", () => this.tiles?.setOpacity(this.opacity));
  }

  get opacity() {
    return Number($(".opacity", this.box).value) / 100;
  }

  get collection() {
    return collection.id;
  }

  /** Offer the items of the collection. */
  offer() {
    this.select.replaceChildren(
      ...collection.items.map((item) => element("option", { value: item.id }, item.title || item.id)),
    );
  }

  /** Show an item, in the layer that was shown before if it has that. */
  async show(id, layerId = this.layer?.id) {
    const wanted = ++this.wanted;
    this.select.value = id;
    try {
      const item = await ask(`/api/collections/${encoded(collection.id)}/items/${encoded(id)}`);
      if (wanted !== this.wanted) return;
      this.describe(item);
      const usable = this.choices.filter((layer) => !layer.problem);
      const layer = byId(this.choices, layerId) ?? usable[0] ?? this.choices[0];
      if (!layer) throw new Error(`${id} has no map and no bands with colors.`);
      await this.display(layer);
    } catch (error) {
      if (wanted !== this.wanted) return;
      this.describe(null);
      this.clear(error.message);
    }
  }

  /** Offer the layers of an item. */
  describe(item) {
    this.item = item;
    values.forget();
    const date = item?.datetime ? new Date(item.datetime).toISOString().slice(0, 10) : "";
    $(".facts", this.box).textContent = [date, item?.model].filter(Boolean).join(" · ");
    this.choices = item?.layers.filter((layer) => layer.id !== "values") ?? [];
    const buttons = this.choices.map((layer) => {
      const input = element("input", { type: "radio", name: `layer-${this.name}`, value: layer.id });
      input.addEventListener("change", () => this.display(layer));
      const label = element("label", {}, input, layer.title);
      label.classList.toggle("gone", Boolean(layer.problem));
      return label;
    });
    $(".layers", this.box).replaceChildren(...buttons);
  }

  async display(layer) {
    const wanted = ++this.wanted;
    this.layer = layer;
    const input = $(`input[value="${CSS.escape(layer.id)}"]`, this.box);
    if (input) input.checked = true;
    try {
      if (layer.problem) throw new Error(layer.problem);
      const extent = await ask(`${layerPath(this)}/extent`);
      if (wanted !== this.wanted) return;
      this.extent = extent;
      say($(".problem", this.box), "");
      stage.put(this);
    } catch (error) {
      if (wanted === this.wanted) this.clear(error.message);
    }
    refresh();
    if (this === left) remember();
  }

  /** Take the layer off the map, and say why. */
  clear(why = "") {
    this.tiles?.remove();
    this.tiles = null;
    this.extent = null;
    say($(".problem", this.box), why);
    refresh();
  }
}

// --- Map ----------------------------------------------------------------------------------------

/** Columns and rows of a raster, downwards; at zoom 0, each pixel of it is one of the screen. */
const PLAIN = L.extend({}, L.CRS.Simple, { transformation: new L.Transformation(1, 0, 1, 0) });
const MORE = 5; // zoom levels beyond the pixels of a raster

class Stage {
  constructor() {
    this.map = null;
    this.plain = null;
  }

  /** Put the layer of a side on the map. */
  put(side) {
    const { item, extent } = side;
    const other = side === left ? right : left;
    if (other.tiles && item.plain !== this.plain) {
      if (side === right) {
        throw new Error("One of the two lies on the Earth and the other on a plain grid, so they can't be compared.");
      }
      other.clear("It lies on another grid.");
    }
    const bounds = item.plain
      ? L.latLngBounds([0, 0], [extent.size[1], extent.size[0]])
      : L.latLngBounds([extent.bounds[1], extent.bounds[0]], [extent.bounds[3], extent.bounds[2]]);
    if (this.plain !== item.plain) this.begin(item.plain);
    const options = item.plain
      ? { zoomOffset: extent.maxzoom, minNativeZoom: -extent.maxzoom, maxNativeZoom: 0 }
      : { maxNativeZoom: extent.maxzoom + 1 };
    const before = side.tiles;
    side.tiles = L.tileLayer(`${layerPath(side)}/{z}/{x}/{y}.png?v=${encoded(item.version)}`, {
      ...options,
      bounds,
      pane: side.name,
      opacity: side.opacity,
      minZoom: -20,
      maxZoom: 30,
      noWrap: true,
      className: side.layer.classes.length ? "crisp" : "",
    });
    side.tiles.on("tileerror", () => this.explain(side));
    side.tiles.addTo(this.map);
    before?.remove();
    if (!this.placed || !this.map.getBounds().intersects(bounds)) {
      const last = item.plain ? MORE : extent.maxzoom + MORE;
      this.map.setMaxZoom(last);
      this.map.fitBounds(bounds, { animate: false, padding: [24, 24] });
      this.placed = true;
    }
    this.clip();
  }

  /** Say why tiles are missing: images don't tell. */
  async explain(side) {
    try {
      await ask(`${layerPath(side)}/extent`);
    } catch (error) {
      say($(".problem", side.box), error.message);
    }
  }

  begin(plain) {
    this.map?.remove();
    this.plain = plain;
    this.placed = false;
    this.map = L.map("map", {
      crs: plain ? PLAIN : L.CRS.EPSG3857,
      minZoom: plain ? -8 : 1,
      maxZoom: 24,
      zoomSnap: plain ? 0.5 : 1,
      worldCopyJump: false,
      attributionControl: false,
    });
    for (const [name, order] of [["graticule", 250], ["left", 300], ["right", 310]]) {
      this.map.createPane(name).style.zIndex = order;
    }
    if (!plain) L.control.scale({ imperial: false }).addTo(this.map);
    this.lines = L.layerGroup().addTo(this.map);
    this.map.on("move zoomend resize", () => this.clip());
    this.map.whenReady(() => this.map.on("moveend", () => this.graticule()).fire("moveend"));
    this.map.on("click", (event) => values.read(event.latlng));
  }

  /** Show one side left of the divider, and the other right of it. */
  clip() {
    if (!this.map) return;
    const comparing = Boolean(right.tiles);
    const { x: width, y: height } = this.map.getSize();
    const at = comparing ? (width * Number($("#swipe").value)) / 100 : width;
    const from = this.map.containerPointToLayerPoint([0, 0]);
    const box = (west, east) =>
      `rect(${from.y}px, ${from.x + east}px, ${from.y + height}px, ${from.x + west}px)`;
    this.map.getPane("left").style.clip = comparing ? box(0, at) : "";
    this.map.getPane("right").style.clip = box(at, width);
    $("#divider").style.left = `${at}px`;
    $("#divider").hidden = $("#swipe").hidden = !comparing;
  }

  /** Lines of round coordinates, since no other map is in the background. */
  graticule() {
    this.lines.clearLayers();
    const view = this.map.getBounds();
    const limits = this.plain ? [-1e6, 1e6, -1e6, 1e6] : [-85, 85, -180, 180];
    const [south, north] = [Math.max(view.getSouth(), limits[0]), Math.min(view.getNorth(), limits[1])];
    const [west, east] = [Math.max(view.getWest(), limits[2]), Math.min(view.getEast(), limits[3])];
    const step = roundStep(Math.max((east - west) / 6, (north - south) / 6), this.plain);
    const digits = Math.max(0, Math.ceil(-Math.log10(step)));
    const add = (ends, anchor, text) => {
      const line = { pane: "graticule", className: "graticule", interactive: false };
      L.polyline(ends, line).addTo(this.lines);
      const icon = L.divIcon({ className: "degrees", html: element("span", {}, text), iconSize: null });
      const still = { icon, interactive: false, keyboard: false, pane: "graticule" };
      L.marker(anchor, still).addTo(this.lines);
    };
    const name = (value, ends) =>
      this.plain ? value.toFixed(0) : `${Math.abs(value).toFixed(digits)}° ${ends[value < 0 ? 0 : 1]}`;
    for (let x = Math.ceil(west / step) * step; x <= east; x += step) {
      add([[south, x], [north, x]], [this.plain ? north : south, x], name(x, "WE"));
    }
    for (let y = Math.ceil(south / step) * step; y <= north; y += step) {
      add([[y, west], [y, east]], [y, west], name(y, "SN"));
    }
  }
}

/** The next 1, 2 or 5 times a power of ten. */
function roundStep(least, whole) {
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= least) * power;
  return whole ? Math.max(1, step) : step;
}

// --- Legend and values --------------------------------------------------------------------------

/** The classes of a side, with their shares. */
function legendOf(side) {
  const { classes, title } = side.layer;
  const about = right.tiles ? `${title}, ${side === left ? "left" : "right"}` : title;
  const rows = classes.map(({ title: name, color, share }) => {
    const swatch = element("span", { class: "swatch", style: `background:#${color}` });
    const known = share !== null;
    const bar = element("span", { class: "share", style: `background:#${color};width:${known ? share : 0}%` });
    const row = element("tr", {}, element("th", { scope: "row" }, swatch, name, bar));
    row.append(element("td", {}, known ? `${share.toFixed(1)} %` : ""));
    return row;
  });
  return element("table", {}, element("caption", {}, about), element("tbody", {}, ...rows));
}

const values = {
  marker: null,
  wanted: 0,

  forget() {
    this.wanted += 1;
    this.marker?.remove();
    $("#found").replaceChildren();
  },

  /** Read all layers of the shown items at a place. */
  async read(place) {
    const wanted = ++this.wanted;
    const [x, y] = [place.lng, place.lat];
    this.marker?.remove();
    const look = { radius: 6, color: "#fff", weight: 3, fillOpacity: 0, interactive: false };
    this.marker = L.circleMarker(place, look).addTo(stage.map);
    const where = stage.plain
      ? `Column ${Math.floor(x)}, row ${Math.floor(y)}`
      : `${y.toFixed(5)}, ${x.toFixed(5)}`;
    const sides = [left, right].filter((side) => side.tiles);
    const shown = sides.filter((side, n) => n === 0 || side.item.id !== sides[0].item.id);
    const tables = await Promise.all(shown.map((side) => this.table(side, x, y)));
    if (wanted !== this.wanted) return;
    $("#found").replaceChildren(element("p", { class: "facts" }, where), ...tables.flat());
  },

  async table(side, x, y) {
    const rows = [];
    for (const layer of side.item.layers) {
      if (layer.problem || !(layer.classes.length || ["map", "values"].includes(layer.id))) continue;
      const path = `/layers/${encoded(side.collection, side.item.id, layer.id)}/point/${x},${y}`;
      const found = await ask(path).catch((error) => error);
      if (found instanceof Error) {
        rows.push(element("tr", {}, element("th", { scope: "row" }, found.message)));
        if (layer.id === "map") continue;
        break;
      }
      found.values.forEach((value, n) => rows.push(valueRow(layer, layer.bands[n], value)));
    }
    return element("table", {}, element("caption", {}, side.item.id), element("tbody", {}, ...rows));
  },
};

function valueRow(layer, band, value) {
  let shown = "no data";
  if (value !== null) {
    const known = layer.classes.find((each) => each.value === value);
    if (layer.id === "map") shown = known ? `${known.title} (${value})` : String(value);
    else shown = (value * band.scale + band.offset).toFixed(4);
  }
  return element("tr", {}, element("th", { scope: "row" }, band.title), element("td", {}, shown));
}

/** Bring legend and values in line with what is shown. */
function refresh() {
  const sides = [left, right].filter((side) => side.tiles && side.layer.classes.length);
  const distinct = sides.filter((side, n) => n === 0 || side.item.id !== sides[0].item.id);
  $("#legend").replaceChildren(element("h2", {}, "Legend"), ...distinct.map(legendOf));
  $("#legend").hidden = !distinct.length;
  $("#values").hidden = !left.tiles;
  stage.clip();
}

/** Let the address name what is shown. */
function remember() {
  const address = `#${encoded(collection.id, left.item.id, left.layer.id)}`;
  if (location.hash !== address) history.replaceState(null, "", address);
  document.title = `${left.item.id} – Maps`;
}

// --- Start --------------------------------------------------------------------------------------

const left = new Side("left");
const right = new Side("right");
const stage = new Stage();

/** What the address names: `#collection/item/layer`, of which each may be missing. */
function named() {
  return location.hash.slice(1).split("/").map(decodeURIComponent);
}

async function enter(id, item, layer) {
  collection = byId(collections, id) ?? collections.find((each) => each.items.length) ?? collections[0];
  $("#collection").value = collection.id;
  $("#comparing").checked = false;
  await compare(false);
  left.offer();
  right.offer();
  if (id && collection.id !== id) say(message, `There is no collection ${id} in the bucket.`);
  else say(message, collection.problem ?? "");
  const last = collection.items.at(-1);
  if (!last) {
    left.clear(collection.problem ?? `${collection.id} lists no items yet.`);
    return;
  }
  if (item && !byId(collection.items, item)) {
    say(message, `${collection.id} lists no item ${item}.`);
    item = "";
  }
  await left.show(item || last.id, layer);
}

/** Show a second side, beginning with another item, or another layer of the only one. */
async function compare(on) {
  right.box.hidden = !on;
  $("legend", left.box).textContent = on ? "On the left" : "Layer";
  if (!on) return right.clear();
  const { items } = collection;
  const at = items.findIndex((item) => item.id === left.item?.id);
  const other = items[at - 1] ?? items[at + 1];
  if (other) return right.show(other.id, left.layer?.id);
  const layer = left.choices.find((each) => each.id !== left.layer?.id && !each.problem);
  return right.show(items[0].id, layer?.id);
}

async function start() {
  const found = await ask("/api/collections");
  collections = found.collections;
  if (!collections.length) {
    say(message, "There are no products yet. Make some: `python3 mlops_manager.py run landcover`", false);
    return;
  }
  const options = collections.map(({ id, title }) => {
    const text = title === id ? id : `${id}: ${title}`;
    return element("option", { value: id }, text.length > 60 ? `${text.slice(0, 59)}…` : text);
  });
  $("#collection").replaceChildren(...options);
  $("#choices").hidden = false;
  await enter(...named());
}

$("#collection").addEventListener("change", (event) => enter(event.target.value));
$("#comparing").addEventListener("change", (event) => compare(event.target.checked));
$("#swipe").addEventListener("input", () => stage.clip());
$("#center").addEventListener("click", () => values.read(stage.map.getCenter()));
$("#choices").addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", () => {
  const [id, item, layer] = named();
  if (collection && (id !== collection.id || item !== left.item?.id)) enter(id, item, layer);
});

start().catch((error) => say(message, error.message));

// Its address would count as the name of a collection.
$(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("#map").focus();
});
