/** What runs on the graphics processor. `locator` in screen.ts places points in the same way. */

/** Bits of the state of a point. */
export const STATES = { shown: 1, selected: 2, inFrom: 4, inTo: 8 } as const;

/** Points are drawn in layers: grey ones first, selected ones last; picking draws them all the same. */
export const LAYERS = { grey: 0, shown: 1, selected: 2 } as const;

const PLACE = /* glsl */ `
precision highp float;
precision highp int;
uniform mat4 matrix;
uniform vec3 centre;
uniform float radius;
uniform float between;

vec4 place(vec3 first, vec3 last) {
  // At its ends the mix must not touch the other position, which may be nowhere.
  vec3 at = between <= 0. ? first : between >= 1. ? last : mix(first, last, between);
  return matrix * vec4((at - centre) / radius, 1.);
}
`;

export const POINT_VERTEX = /* glsl */ `
${PLACE}
in vec3 from;
in vec3 to;
in vec4 colour;
in float state;
uniform int layer;
uniform bool picking;
uniform float eye;
uniform float size;
uniform float ratio;
uniform vec3 grey;
out vec4 fill;
// Radii in pixels, of the point and of all that is drawn.
out float inner;
out float rim;

vec4 code(int number) {
  return vec4(number & 255, (number >> 8) & 255, (number >> 16) & 255, 255) / 255.;
}

void main() {
  int bits = int(state);
  bool shown = (bits & ${STATES.shown}) != 0;
  bool selected = (bits & ${STATES.selected}) != 0;
  bool isSomewhere = (between >= 1. || (bits & ${STATES.inFrom}) != 0) && (between <= 0. || (bits & ${STATES.inTo}) != 0);
  int own = selected ? ${LAYERS.selected} : shown ? ${LAYERS.shown} : ${LAYERS.grey};
  if (!isSomewhere || own != layer) {
    gl_Position = vec4(2., 2., 2., 1.);
    gl_PointSize = 0.;
    return;
  }
  gl_Position = place(from, to);
  float near = clamp(eye / gl_Position.w, .4, 3.);
  inner = .5 * size * ratio * near * (shown ? 1. : .7);
  rim = inner + (selected ? 2.5 * ratio : 0.);
  // Edges fade over a pixel.
  gl_PointSize = 2. * rim + 1.;
  fill = picking ? code(gl_VertexID + 1) : shown ? colour : vec4(grey, .75);
}
`;

export const POINT_FRAGMENT = /* glsl */ `
precision highp float;
in vec4 fill;
in float inner;
in float rim;
uniform bool picking;
uniform bool solid;
uniform float ratio;
uniform vec3 ink;
uniform vec3 paper;
out vec4 pixel;

void main() {
  float away = (2. * rim + 1.) * distance(gl_PointCoord, vec2(.5));
  float cover = clamp(rim - away + .5, 0., 1.);
  if (cover <= (picking || solid ? .5 : 0.)) discard;
  if (picking) {
    pixel = fill;
    return;
  }
  vec3 ring = mix(paper, ink, clamp(away - inner - ratio + .5, 0., 1.));
  float inside = clamp(inner - away + .5, 0., 1.);
  vec4 drawn = rim > inner ? mix(vec4(ring, 1.), vec4(fill.rgb, 1.), inside) : fill;
  pixel = vec4(drawn.rgb, 1.) * drawn.a * cover;
}
`;

/** A stretch of the way of each point: an instance a point, its start at vertex 0, its end at vertex 1. */
export const TRAIL_VERTEX = /* glsl */ `
${PLACE}
in vec3 start;
in vec3 from;
in vec3 to;
in vec4 colour;
in float strength;
out vec4 fill;

void main() {
  if (strength == 0.) {
    gl_Position = vec4(2., 2., 2., 1.);
    return;
  }
  gl_Position = gl_VertexID == 0 ? place(start, start) : place(from, to);
  fill = vec4(colour.rgb, 1.) * colour.a * strength;
}
`;

export const TRAIL_FRAGMENT = /* glsl */ `
precision highp float;
in vec4 fill;
out vec4 pixel;

void main() {
  pixel = fill;
}
`;
