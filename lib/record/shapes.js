'use strict'
Object.defineProperty(exports, '__esModule', { value: true })
exports.ShapeTable = exports.Shape = exports.Place = void 0
/**
 * Shapes: lists of member names that the store keeps once, and that records name by number. This is this thread's
 * knowledge of them; what it does not know it asks the engine for, which gives every list one number in all threads.
 *
 * Objects that are used as maps have other names every time, and would use up the shapes of the store. So every place
 * in a document may bring only a few new shapes; beyond that, objects there carry their names themselves.
 */
const limits_js_1 = require('../limits.js')
/** A place in documents where objects stand, and the shape that the last one there had. */
class Place {
  /** The shape to try first. */
  shape
  /** How many shapes were made for this place. */
  made = 0
}
exports.Place = Place
/** One shape. */
class Shape {
  /** Its number in the store. */
  id
  /** The names of the members, in order. */
  names
  /** The places of the members' values. */
  places
  /** Makes objects of this shape; see the reader. */
  build
  /** How many objects of this shape were read. */
  reads = 0
  constructor(id, names) {
    this.id = id
    this.names = names
    this.places = names.map(() => new Place())
  }
}
exports.Shape = Shape
/** A list of names as a way from the root of all lists. */
class Node {
  next = new Map()
  shape
}
/** What this thread knows of the shapes of one store. */
class ShapeTable {
  #source
  #byId = []
  #root = new Node()
  #roots = new Map()
  #full = false
  constructor(source) {
    this.#source = source
  }
  /** The place of a collection's documents themselves. */
  rootOf(collection) {
    const known = this.#roots.get(collection)
    if (known !== undefined) return known
    const place = new Place()
    this.#roots.set(collection, place)
    return place
  }
  /** The shape with a number. */
  byId(id) {
    return this.#byId[id] ?? this.#learn(new Shape(id, this.#source.names(id)))
  }
  /** The shape with these names, or undefined if an object at `place` should carry its names itself. */
  find(names, place) {
    if (names.length > limits_js_1.MAX_SHAPE_NAMES) return undefined
    const known = this.#follow(names)?.shape
    if (known) return known
    if (this.#full || place.made >= limits_js_1.MAX_NEW_SHAPES_PER_PLACE) return undefined
    place.made++
    const id = this.#source.reserve(names)
    if (id >= 0) return this.byId(id)
    this.#full = true
    return undefined
  }
  #follow(names) {
    let node = this.#root
    for (let i = 0; i < names.length && node; i++) node = node.next.get(names[i])
    return node
  }
  #learn(shape) {
    let node = this.#root
    for (const name of shape.names) {
      const next = node.next.get(name) ?? new Node()
      node.next.set(name, next)
      node = next
    }
    node.shape = shape
    this.#byId[shape.id] = shape
    return shape
  }
}
exports.ShapeTable = ShapeTable
