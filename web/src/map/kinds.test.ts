import { describe, expect, it } from "vitest";
import type { Overview } from "../lib/archive.svelte";
import type { Column } from "../lib/columns.svelte";
import { NONE, OTHER, colourParams, colouring, looks, parseColour, type ColourSpec } from "./colouring";
import {
  columnsOf, defaults, firstViews, mapTitle, parseView, parseViews, plotOf, runsBackwards, unitWords, viewText, viewTitle,
  viewsText, type ViewSpec,
} from "./kinds";
import { HIDDEN, SELECTED } from "./picks";
import { graticule, project, projected, skyOf, unproject, type Sky } from "./sky";

const numbers = (name: string, values: number[], unit = ""): Column => ({
  kind: "number", name, values: Float64Array.from(values), unit, about: "",
});

describe("views in the address", () => {
  const views: ViewSpec[] = [
    { kind: "map", name: "umap.pca.low-observed-3700-9089" },
    { kind: "sky", frame: "galactic" },
    { kind: "xy", x: "score:knn.pca", y: "odd,name~here%", logX: true, flipY: false },
  ];
  it("come back as they went", () => {
    for (const v of views) expect(parseView(viewText(v))).toEqual(v);
    expect(parseViews(viewsText(views), [])).toEqual(views);
  });
  it("may be two names with a colon", () => {
    expect(parseViews("2:s_ra:s_dec", views)[1]).toEqual({ kind: "xy", x: "s_ra", y: "s_dec" });
  });
  it("that cannot be read leave what was there", () => {
    expect(parseViews("1:,9:sky,nonsense,3:map:", views)).toEqual(views);
    expect(parseViews(undefined, views)).toEqual(views);
  });
});

describe("views", () => {
  it("run the way astronomers draw them", () => {
    expect(runsBackwards("miles.teff", "x")).toBe(true);
    expect(runsBackwards("tags.logg", "y")).toBe(true);
    expect(runsBackwards("phot_g_mean_mag", "y")).toBe(true);
    expect(runsBackwards("phot_g_mean_mag", "x")).toBe(false);
    expect(runsBackwards("s_ra", "x")).toBe(true);
    expect(runsBackwards("snr", "x")).toBe(false);
  });
  it("lock the aspect where both axes share a unit and fit", () => {
    const xy = { kind: "xy", x: "a", y: "b" } as const;
    expect(defaults(xy, numbers("a", [-8, 9], "kpc"), numbers("b", [-3, 3], "kpc")).lock).toBe(true);
    expect(defaults(xy, numbers("a", [0, 1], "kpc"), numbers("b", [0, 1], "pc")).lock).toBe(false);
    expect(defaults(xy, numbers("a", [0, 900], "K"), numbers("b", [0, 1], "K")).lock).toBe(false);
    expect(defaults(xy, numbers("a", [0, 1]), numbers("b", [0, 1])).lock).toBe(false);
    expect(defaults({ ...xy, lock: false }, numbers("a", [0, 1], "K"), numbers("b", [0, 1], "K")).lock).toBe(false);
  });
  it("take logs where values spread wide", () => {
    const xy = { kind: "xy", x: "snr", y: "z" } as const;
    const snr = numbers("snr", Array.from({ length: 200 }, (_, i) => Math.pow(10, i / 40)));
    expect(defaults(xy, snr, numbers("z", [0, 1])).logX).toBe(true);
  });
  it("count what has both values", () => {
    const plot = plotOf({ kind: "xy", x: "a", y: "b" }, (n) => numbers(n, n === "a" ? [1, NaN, 3] : [1, 2, 3]));
    expect(plot.placed).toBe(2);
  });
  it("are named", () => {
    expect(mapTitle("umap.pca.low-observed-3700-9089")).toBe("UMAP of pca, 3700–9089 Å");
    expect(mapTitle("umap.pca.mid-unknown-counts-6285-6733")).toBe("UMAP of pca, 6285–6733 Å, counts");
    expect(mapTitle("mine")).toBe("mine");
    expect(unitWords("log(cm.s**-2)")).toBe("log cm s⁻²");
    expect(viewTitle({ kind: "xy", x: "miles.teff", y: "miles.logg" })).toBe("Kiel diagram (miles)");
    expect(columnsOf({ kind: "map", name: "m" })).toEqual(["map:m:x", "map:m:y"]);
  });
  it("are four at first, whatever the archive holds", () => {
    const empty = { maps: [], suggested: {}, columns: [] } as unknown as Overview;
    expect(firstViews(empty)).toHaveLength(4);
    const full = {
      maps: [{ name: "m", count: 3, note: "" }],
      suggested: { sky: ["s_ra", "s_dec"], kiel: ["a.teff", "a.logg"], galactic: ["gal_l", "gal_b"] },
    } as unknown as Overview;
    expect(firstViews(full).map(viewText)).toEqual(["map:m", "a.teff~a.logg", "sky", "galactic"]);
  });
});

describe("the sphere", () => {
  const skies: Sky[] = [
    { kind: "hammer", lon0: 180, lat0: 0 }, { kind: "hammer", lon0: 0, lat0: 0 },
    { kind: "zenithal", lon0: 350, lat0: 60 },
  ];
  it("goes to the plane and back", () => {
    for (const sky of skies) {
      for (const [lon, lat] of [[10, 20], [200, -70], [355, 0], [120, 85]] as const) {
        const back = unproject(sky, ...project(sky, lon, lat))!;
        expect(back[0]).toBeCloseTo(lon, 6);
        expect(back[1]).toBeCloseTo(lat, 6);
      }
    }
  });
  it("keeps areas", () => {
    const d = 1e-4;
    for (const sky of skies) {
      for (const [lon, lat] of [[30, 10], [100, 50], [300, -40]] as const) {
        const [x, y] = project(sky, lon, lat);
        const [xe, ye] = project(sky, lon + d, lat);
        const [xn, yn] = project(sky, lon, lat + d);
        const area = Math.abs((xe - x) * (yn - y) - (xn - x) * (ye - y));
        expect(area / (Math.cos((lat * Math.PI) / 180) * ((d * Math.PI) / 180) ** 2)).toBeCloseTo(1, 3);
      }
    }
  });
  it("is whole for points all over and a field for near ones, across 0° too", () => {
    expect(skyOf([0, 90, 180, 270], [0, 10, -10, 0], 180).kind).toBe("hammer");
    const field = skyOf([359, 1, 0, NaN], [5, 5, 6, 0], 180);
    expect(field.kind).toBe("zenithal");
    expect(Math.min(field.lon0, 360 - field.lon0)).toBeLessThan(0.1);
    expect(skyOf([], [], 180).kind).toBe("hammer");
    const [x] = projected(field, [NaN], [0]);
    expect(x[0]).toBeNaN();
  });
  it("has a grid in a whole and in a deep window", () => {
    const whole = graticule(skies[0]!, -3, -1.5, 3, 1.5, 40);
    expect(whole.filter((l) => l.meridian).length).toBeGreaterThan(8);
    const [x, y] = project(skies[0]!, 83.8, -5.4);
    const deep = graticule(skies[0]!, x - 0.002, y - 0.001, x + 0.002, y + 0.001, 0.02);
    expect(deep.length).toBeGreaterThan(4);
    expect(deep.length).toBeLessThan(60);
    expect(deep.some((l) => l.meridian && l.label.startsWith("83.8"))).toBe(true);
  });
});

const spec = (over: Partial<ColourSpec> = {}): ColourSpec => ({
  column: "c", map: "viridis", range: null, log: null, off: [], ...over,
});
const kinds = (values: string[], codes: number[]): Column => ({
  kind: "category", name: "c", unit: "", about: "", values, codes: Int32Array.from(codes),
});

describe("colours of points", () => {
  it("rank kinds by number, leave the blank and the missing without", () => {
    const c = colouring(kinds(["B", "A", ""], [0, 1, 1, -1, 2]), spec(), true, 5);
    expect(c.legend.kind === "kinds" && c.legend.entries.map((e) => [e.label, e.count])).toEqual([
      ["A", 2], ["B", 1], ["no value", 2],
    ]);
    expect([...c.levels]).toEqual([2, 1, 1, 0, 0]);
  });
  it("share one colour among the rarest", () => {
    const words = Array.from({ length: 40 }, (_, i) => `k${i}`);
    const codes = words.flatMap((_, i) => Array<number>(41 - i).fill(i));
    const c = colouring(kinds(words, codes), spec({ off: [OTHER] }), true, codes.length);
    if (c.legend.kind !== "kinds") throw new Error("kinds expected");
    expect(c.legend.entries).toHaveLength(12);
    expect(c.legend.entries.at(-1)).toMatchObject({ id: OTHER, shown: false });
    expect(c.legend.others).toHaveLength(29);
  });
  it("span the robust range, or the one that is asked for", () => {
    const values = Array.from({ length: 101 }, (_, i) => i);
    const c = colouring(numbers("c", values), spec(), true, 101);
    expect(c.legend).toMatchObject({ lo: 2, hi: 98, log: false, missing: 0 });
    const d = colouring(numbers("c", [-1, 5, 9]), spec({ map: "vik" }), true, 3);
    expect(d.legend.kind === "range" && d.legend.lo + d.legend.hi).toBeCloseTo(0);
    const e = colouring(numbers("c", [-1, 5, 9]), spec({ range: [-2, 4], log: true }), true, 3);
    expect(e.legend).toMatchObject({ lo: -2, hi: 4, log: false });
  });
  it("mark the selected and hide what is off or outside", () => {
    const c = colouring(kinds(["A", "B"], [0, 1, 0, -1]), spec({ off: ["B", NONE] }), true, 4);
    const look = looks(c, [70, 71], (row) => row - 69, Uint8Array.of(1, 1, 0, 1));
    expect([...look].map((l) => [!!(l & SELECTED), !!(l & HIDDEN)])).toEqual([
      [false, false], [true, true], [true, true], [false, true],
    ]);
  });
  it("go through the address", () => {
    const all = spec({ column: "snr", map: "vik_r", range: [1.5, 30], log: false, off: [OTHER, "a,b"] });
    const params = colourParams(all, "class");
    const kept = Object.fromEntries(Object.entries(params).filter(([, v]) => v !== null)) as Record<string, string>;
    expect(parseColour(kept, "class")).toEqual(all);
    expect(parseColour({}, "class")).toEqual(spec({ column: "class" }));
    expect(parseColour({ cmap: "jet", range: "a,b", colour: "none" }, "class")).toEqual(spec({ column: null }));
  });
});
