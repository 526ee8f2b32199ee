/**
 * A scatter of up to millions of points on one WebGL2 canvas.
 *
 * Positions go to the card once; a change of colour or of the selection sends 4 bytes a point, a
 * change of the colour map 1 kB. Rows arrive shuffled, so any number of first points is a fair
 * picture: that is what is drawn while the camera moves.
 */
import {
  MEAN_FRAGMENT, PICTURE_FRAGMENT, POINT_FRAGMENT, POINT_VERTEX, ROUND_FRAGMENT, SCREEN_VERTEX, SUM_FRAGMENT,
  SUM_VERTEX,
} from "./shaders";
import { paintPoints, pixel, shades, sums, type Map2 } from "./raster";
import type { Camera, Size } from "./view";

/** More points than this are painted by the processor where it runs WebGL2 anyway. */
const BY_HAND = 20_000;

/** Colours 0…255: of the canvas, and of points that are not chosen (with their opacity 0…1). */
export interface Ground {
  back: readonly [number, number, number];
  dim: readonly [number, number, number, number];
}

export interface Drawing {
  mode: "points" | "mean";
  /** colours are kinds, whose mean is the mean of colours, not of levels */
  kinds: boolean;
  /** something is selected: the rest is dimmed */
  any: boolean;
}

interface Program {
  program: WebGLProgram;
  at: (name: string) => WebGLUniformLocation | null;
}

/** How exactly means are summed: to 32 or 16 bits a channel (16: counts stop near 2,000), or not. */
export type Sums = "float32" | "half" | null;

let known: boolean | undefined;

/** Whether WebGL2 is run by the processor, as far as the browser tells. */
function bySoftware(gl: WebGL2RenderingContext): boolean {
  const more = gl.getExtension("WEBGL_debug_renderer_info");
  const name = String(gl.getParameter(more ? more.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

/** Whether this browser gives WebGL2; asked once, on a context that is let go at once. */
export function webgl2(): boolean {
  if (known === undefined) {
    const gl = document.createElement("canvas").getContext("webgl2");
    known = !!gl;
    gl?.getExtension("WEBGL_lose_context")?.loseContext();
  }
  return known;
}

export class Scatter {
  sums: Sums = null;
  readonly software: boolean;
  private gl: WebGL2RenderingContext;
  private points!: Program;
  private round!: Program;
  private sum!: Program;
  private mean!: Program;
  private picture!: Program;
  private array!: WebGLVertexArrayObject;
  private atBuffer!: WebGLBuffer;
  private lookBuffer!: WebGLBuffer;
  private lut!: WebGLTexture;
  private target: { frame: WebGLFramebuffer; texture: WebGLTexture; w: number; h: number } | null =
    null;
  private painted: { texture: WebGLTexture; pixels: Uint32Array; w: number; h: number } | null = null;
  private at: Float32Array = new Float32Array(0);
  private look: Uint32Array = new Uint32Array(0);
  private colours: Uint8Array = new Uint8Array(1024);
  private ground: Ground = { back: [0, 0, 0], dim: [128, 128, 128, 0.4] };
  private size: Size = { width: 1, height: 1 };
  private dpr = 1;
  private gone = false;
  private readonly drop: () => void;

  /** `again` is called when the browser has given a lost context back: draw once more. */
  constructor(readonly canvas: HTMLCanvasElement, again: () => void) {
    const gl = canvas.getContext("webgl2", {
      antialias: false, depth: true, stencil: false, powerPreference: "low-power",
    });
    if (!gl) throw new Error("this browser gives no WebGL2 context");
    this.gl = gl;
    this.software = bySoftware(gl);
    const lost = (event: Event) => event.preventDefault();
    const back = () => {
      this.build();
      again();
    };
    canvas.addEventListener("webglcontextlost", lost);
    canvas.addEventListener("webglcontextrestored", back);
    this.drop = () => {
      canvas.removeEventListener("webglcontextlost", lost);
      canvas.removeEventListener("webglcontextrestored", back);
    };
    this.build();
  }

  get count(): number {
    return this.at.length >> 1;
  }

  /** Interleaved unit-plane positions; their looks are cleared when their number changes. */
  setPoints(at: Float32Array): void {
    this.at = at;
    this.upload(this.atBuffer, at);
    if (this.look.length !== this.count) this.setLook(new Uint32Array(this.count));
  }

  /** Level (bits 0–7), selected (8) and hidden (9) of each point. */
  setLook(look: Uint32Array): void {
    this.look = look;
    this.upload(this.lookBuffer, look);
  }

  /** 256 colours as RGBA bytes; entry 0 is that of points without a value. */
  setColours(rgba: Uint8Array): void {
    this.colours = rgba;
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.lut);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
  }

  setGround(ground: Ground): void {
    this.ground = ground;
  }

  resize(size: Size, dpr: number): void {
    this.size = size;
    this.dpr = dpr;
    const w = Math.max(1, Math.round(size.width * dpr));
    const h = Math.max(1, Math.round(size.height * dpr));
    if (this.canvas.width !== w) this.canvas.width = w;
    if (this.canvas.height !== h) this.canvas.height = h;
  }

  /** Diameter of a point in CSS pixels when `visible` points share the window. */
  static diameter(visible: number, size: Size, closer: number): number {
    const each = Math.sqrt((size.width * size.height) / Math.max(1, visible));
    return Math.max(1.5, Math.min(7, 0.7 * each * Math.min(4, Math.sqrt(Math.max(1, closer)))));
  }

  /** Draws the first `most` points. `closer`: how far it is zoomed in (≥ 1). */
  draw(cam: Camera, how: Drawing, most = Infinity, closer = 1): void {
    const gl = this.gl;
    if (this.gone || gl.isContextLost()) return;
    const n = Math.min(this.count, Math.round(most));
    const [r, g, b] = this.ground.back;
    const mean = how.mode === "mean" && this.sums !== null;
    const byHand = this.software && n > BY_HAND;
    if (mean && n) this.addUp(cam, how, n, byHand);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(r / 255, g / 255, b / 255, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!n) return;
    if (mean) this.showMean(how);
    else if (byHand) this.showPainted(cam, how, n, closer);
    else this.showPoints(cam, how, n, closer);
  }

  /** Frees the card and gives the context back: a browser has only about sixteen. */
  dispose(): void {
    if (this.gone) return;
    this.gone = true;
    this.drop();
    const gl = this.gl;
    for (const p of [this.points, this.round, this.sum, this.mean, this.picture]) gl.deleteProgram(p.program);
    gl.deleteBuffer(this.atBuffer);
    gl.deleteBuffer(this.lookBuffer);
    gl.deleteTexture(this.lut);
    gl.deleteVertexArray(this.array);
    this.freeTarget();
    if (this.painted) gl.deleteTexture(this.painted.texture);
    this.painted = null;
    gl.getExtension("WEBGL_lose_context")?.loseContext();
    this.at = new Float32Array(0);
    this.look = new Uint32Array(0);
  }

  private build(): void {
    const gl = this.gl;
    this.target = this.painted = null;
    const wide = gl.getExtension("EXT_color_buffer_float");
    this.sums = wide && gl.getExtension("EXT_float_blend") ? "float32" : wide ? "half" : null;
    this.points = this.compile(POINT_VERTEX, POINT_FRAGMENT);
    this.round = this.compile(POINT_VERTEX, ROUND_FRAGMENT);
    this.sum = this.compile(SUM_VERTEX, SUM_FRAGMENT);
    this.mean = this.compile(SCREEN_VERTEX, MEAN_FRAGMENT);
    this.picture = this.compile(SCREEN_VERTEX, PICTURE_FRAGMENT);
    this.array = gl.createVertexArray();
    this.atBuffer = gl.createBuffer();
    this.lookBuffer = gl.createBuffer();
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.atBuffer);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 8, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.lookBuffer);
    gl.enableVertexAttribArray(1);
    gl.vertexAttribIPointer(1, 1, gl.UNSIGNED_INT, 4, 0);
    this.lut = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.lut);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    this.setColours(this.colours);
    this.upload(this.atBuffer, this.at);
    this.upload(this.lookBuffer, this.look);
  }

  private compile(vertex: string, fragment: string): Program {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]] as const) {
      const shader = gl.createShader(kind)!;
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
      gl.deleteShader(shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(`a shader was refused: ${gl.getProgramInfoLog(program) ?? "no reason given"}`);
    }
    const places = new Map<string, WebGLUniformLocation | null>();
    const at = (name: string) => {
      // asked for late: the link must be over by then, and a lost context answers null
      if (!places.has(name)) places.set(name, gl.getUniformLocation(program, name));
      return places.get(name)!;
    };
    return { program, at };
  }

  private upload(buffer: WebGLBuffer, data: Float32Array | Uint32Array): void {
    const gl = this.gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
  }

  private use(p: Program, cam: Camera, any: boolean): void {
    const gl = this.gl;
    gl.useProgram(p.program);
    gl.bindVertexArray(this.array);
    gl.uniform2f(p.at("u_centre"), cam.u, cam.v);
    gl.uniform2f(p.at("u_scale"), (2 * cam.sx) / this.size.width, (2 * cam.sy) / this.size.height);
    gl.uniform1i(p.at("u_any"), any ? 1 : 0);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.lut);
    gl.uniform1i(p.at("u_lut"), 0);
  }

  private dim(p: Program): void {
    const [r, g, b, a] = this.ground.dim;
    this.gl.uniform4f(p.at("u_dim"), r / 255, g / 255, b / 255, a);
  }

  private showPoints(cam: Camera, how: Drawing, n: number, closer: number): void {
    const gl = this.gl;
    const diameter = Scatter.diameter(this.count, this.size, closer) * this.dpr;
    const p = diameter >= 3 ? this.round : this.points;
    this.use(p, cam, how.any);
    this.dim(p);
    gl.uniform1f(p.at("u_size"), diameter);
    gl.uniform1f(p.at("u_alpha"), this.count > 20_000 ? 0.75 : 0.9);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    if (how.any) gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.drawArrays(gl.POINTS, 0, n);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
  }

  /** Unit plane → pixels of the canvas, or cells of `cell` pixels, from the lower left. */
  private toPixels(cam: Camera, cell = 1): Map2 {
    const k = this.dpr / cell;
    const [w, h] = [this.canvas.width / cell, this.canvas.height / cell];
    return { ax: w / 2 - cam.u * cam.sx * k, bx: cam.sx * k, ay: h / 2 - cam.v * cam.sy * k, by: cam.sy * k };
  }

  /** The processor's picture of the points, shown as it is. */
  private showPainted(cam: Camera, how: Drawing, n: number, closer: number): void {
    const gl = this.gl;
    const { width: w, height: h } = this.canvas;
    if (this.painted?.w !== w || this.painted.h !== h) {
      if (this.painted) gl.deleteTexture(this.painted.texture);
      this.painted = { texture: this.plainTexture(gl.RGBA8, w, h), pixels: new Uint32Array(w * h), w, h };
    }
    const { texture, pixels } = this.painted;
    const { back, dim } = this.ground;
    const faint = dim.slice(0, 3).map((c, k) => c * dim[3] + back[k]! * (1 - dim[3]));
    const side = Math.max(1, Math.round(Scatter.diameter(this.count, this.size, closer) * this.dpr));
    pixels.fill(pixel(...back));
    paintPoints(
      { pixels, width: w, height: h }, this.at, this.look, n, this.toPixels(cam), side,
      shades(this.colours, back, 0), shades(this.colours, faint, 0.75), how.any,
    );
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(pixels.buffer));
    gl.useProgram(this.picture.program);
    gl.uniform1i(this.picture.at("u_picture"), 1);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  private addUp(cam: Camera, how: Drawing, n: number, byHand: boolean): void {
    const gl = this.gl;
    const target = this.ready();
    if (byHand && this.sums === "float32") {
      const kinds = how.kinds ? this.colours : null;
      const { w, h } = target;
      const added = sums(w, h, this.at, this.look, n, this.toPixels(cam, this.cell), kinds, how.any);
      gl.activeTexture(gl.TEXTURE1);
      gl.bindTexture(gl.TEXTURE_2D, target.texture);
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, w, h, gl.RGBA, gl.FLOAT, added);
      return;
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
    gl.viewport(0, 0, target.w, target.h);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    this.use(this.sum, cam, how.any);
    gl.uniform1i(this.sum.at("u_kinds"), how.kinds ? 1 : 0);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE);
    gl.drawArrays(gl.POINTS, 0, n);
    gl.disable(gl.BLEND);
  }

  private showMean(how: Drawing): void {
    const gl = this.gl;
    const p = this.mean;
    gl.useProgram(p.program);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, this.target!.texture);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.lut);
    gl.uniform1i(p.at("u_sums"), 1);
    gl.uniform1i(p.at("u_lut"), 0);
    gl.uniform1i(p.at("u_kinds"), how.kinds ? 1 : 0);
    gl.uniform1i(p.at("u_any"), how.any ? 1 : 0);
    gl.uniform1f(p.at("u_cell"), this.cell);
    this.dim(p);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.disable(gl.BLEND);
  }

  /** Side of a cell of the mean in device pixels: about two CSS pixels, so that cells fill. */
  private get cell(): number {
    return Math.max(1, Math.round(2 * this.dpr));
  }

  private ready(): NonNullable<Scatter["target"]> {
    const gl = this.gl;
    const w = Math.ceil(this.canvas.width / this.cell);
    const h = Math.ceil(this.canvas.height / this.cell);
    if (this.target && this.target.w === w && this.target.h === h) return this.target;
    this.freeTarget();
    const texture = this.plainTexture(this.sums === "float32" ? gl.RGBA32F : gl.RGBA16F, w, h);
    const frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    this.target = { frame, texture, w, h };
    return this.target;
  }

  private plainTexture(format: number, w: number, h: number): WebGLTexture {
    const gl = this.gl;
    const texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, format, w, h);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    return texture;
  }

  private freeTarget(): void {
    if (!this.target) return;
    this.gl.deleteFramebuffer(this.target.frame);
    this.gl.deleteTexture(this.target.texture);
    this.target = null;
  }
}
