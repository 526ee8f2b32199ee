/** Shaders of the scatter. A point is its place and its look (level, selected, hidden). */

const PLACE = `
layout(location = 0) in vec2 a_at;
layout(location = 1) in uint a_look;
uniform vec2 u_centre;
uniform vec2 u_scale;
uniform bool u_any;
bool hidden() { return (a_look & 512u) != 0u; }
bool chosen() { return !u_any || (a_look & 256u) != 0u; }
uint level() { return a_look & 255u; }
vec2 place() { return (a_at - u_centre) * u_scale; }
const vec4 AWAY = vec4(2.0, 2.0, 2.0, 1.0);
`;

/** Points: the chosen in full colour and in front, the others mixed with the ground. */
export const POINT_VERTEX = `#version 300 es
precision highp float;
precision highp int;
${PLACE}
uniform sampler2D u_lut;
uniform vec4 u_dim;
uniform float u_size;
uniform float u_alpha;
flat out vec4 v_colour;
void main() {
  vec2 at = place();
  bool front = chosen();
  gl_Position = hidden() || any(greaterThan(abs(at), vec2(1.2)))
    ? AWAY : vec4(at, front ? 0.0 : 0.5, 1.0);
  gl_PointSize = front && u_any ? u_size + 0.75 : u_size;
  vec3 colour = texelFetch(u_lut, ivec2(int(level()), 0), 0).rgb;
  v_colour = front ? vec4(colour, u_alpha) : vec4(mix(colour, u_dim.rgb, 0.7), u_dim.a);
}`;

export const POINT_FRAGMENT = `#version 300 es
precision highp float;
flat in vec4 v_colour;
out vec4 colour;
void main() { colour = vec4(v_colour.rgb * v_colour.a, v_colour.a); }`;

/** Round points with a soft rim, for sizes at which a square would show. */
export const ROUND_FRAGMENT = `#version 300 es
precision highp float;
flat in vec4 v_colour;
uniform float u_size;
out vec4 colour;
void main() {
  float r = length(gl_PointCoord - 0.5) * u_size;
  float a = v_colour.a * clamp(0.5 * u_size - r + 0.5, 0.0, 1.0);
  if (a <= 0.01) discard;
  colour = vec4(v_colour.rgb * a, a);
}`;

/**
 * Sums for the mean: (value, weight that has a value, weight) of numbers, or (r, g, b) × weight
 * and weight of kinds. What is not chosen weighs 2⁻²¹, so it shows only where nothing chosen is.
 */
export const SUM_VERTEX = `#version 300 es
precision highp float;
precision highp int;
${PLACE}
uniform sampler2D u_lut;
uniform bool u_kinds;
flat out vec4 v_sum;
void main() {
  vec2 at = place();
  gl_Position = hidden() || any(greaterThan(abs(at), vec2(1.0)))
    ? AWAY : vec4(at, 0.0, 1.0);
  gl_PointSize = 1.0;
  float weight = chosen() ? 1.0 : 4.76837158203125e-7;
  float value = (float(level()) - 1.0) / 254.0;
  float has = level() == 0u ? 0.0 : weight;
  vec3 colour = texelFetch(u_lut, ivec2(int(level()), 0), 0).rgb;
  v_sum = u_kinds ? vec4(colour * weight, weight) : vec4(value * has, has, 0.0, weight);
}`;

export const SUM_FRAGMENT = `#version 300 es
precision highp float;
flat in vec4 v_sum;
out vec4 sum;
void main() { sum = v_sum; }`;

export const SCREEN_VERTEX = `#version 300 es
void main() {
  vec2 at = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
  gl_Position = vec4(at, 0.0, 1.0);
}`;

/** A picture that was painted elsewhere, pixel for pixel. */
export const PICTURE_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D u_picture;
out vec4 colour;
void main() { colour = texelFetch(u_picture, ivec2(gl_FragCoord.xy), 0); }`;

/** The mean of each cell; fainter where few points are, never fainter than can be seen. */
export const MEAN_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D u_sums;
uniform sampler2D u_lut;
uniform vec4 u_dim;
uniform bool u_kinds;
uniform bool u_any;
uniform float u_cell;
out vec4 colour;
void main() {
  vec4 s = texelFetch(u_sums, ivec2(gl_FragCoord.xy / u_cell), 0);
  if (s.a <= 0.0) discard;
  vec3 c;
  if (u_kinds) {
    c = s.rgb / s.a;
  } else {
    float t = s.g > 0.0 ? s.r / s.g : -1.0;
    int i = t < 0.0 ? 0 : 1 + int(clamp(t * 254.0 + 0.5, 0.0, 254.0));
    c = texelFetch(u_lut, ivec2(i, 0), 0).rgb;
  }
  bool front = s.a >= 0.5;
  float n = front ? s.a : s.a * 2097152.0;
  float a = clamp(0.6 + 0.1 * log2(n), 0.6, 1.0);
  if (u_any && !front) { c = mix(c, u_dim.rgb, 0.7); a *= 0.7; }
  colour = vec4(c * a, a);
}`;
