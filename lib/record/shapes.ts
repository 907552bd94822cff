/**
 * Shapes: lists of member names that the store keeps once, and that records name by number. This is this thread's
 * knowledge of them; what it does not know it asks the engine for, which gives every list one number in all threads.
 *
 * Objects that are used as maps have other names every time, and would use up the shapes of the store. So every place
 * in a document may bring only a few new shapes; beyond that, objects there carry their names themselves.
 */
import { MAX_NEW_SHAPES_PER_PLACE, MAX_SHAPE_NAMES } from '../limits.js'

/** Asks the engine. */
export interface ShapeSource {
  /** The number of the shape with these names, or -1 if the store has no room for it. */
  reserve(names: readonly string[]): number
  /** The names of a shape. */
  names(id: number): readonly string[]
}

/** A place in documents where objects stand, and the shape that the last one there had. */
export class Place {
  /** The shape to try first. */
  shape: Shape | undefined
  /** How many shapes were made for this place. */
  made = 0
}

/** One shape. */
export class Shape {
  /** Its number in the store. */
  readonly id: number
  /** The names of the members, in order. */
  readonly names: readonly string[]
  /** The places of the members' values. */
  readonly places: readonly Place[]
  /** Makes objects of this shape; see the reader. */
  build: (() => object) | undefined
  /** How many objects of this shape were read. */
  reads = 0

  constructor(id: number, names: readonly string[]) {
    this.id = id
    this.names = names
    this.places = names.map(() => new Place())
  }
}

/** What records of one origin name. */
export interface ShapeLookup {
  /** The shape with a number. */
  byId(id: number): Shape
}

/** A list of names as a way from the root of all lists. */
class Node {
  readonly next = new Map<string, Node>()
  shape: Shape | undefined
}

/** Most shapes of answers that are remembered, for the functions that were made for them. */
const MAX_UNSTORED_SHAPES = 1024

/** What this thread knows of the shapes of one store. */
export class ShapeTable implements ShapeLookup {
  readonly #source: ShapeSource
  readonly #byId: (Shape | undefined)[] = []
  readonly #root = new Node()
  readonly #roots = new Map<number, Place>()
  readonly #unstored = new Map<string, Shape>()
  #full = false

  constructor(source: ShapeSource) {
    this.#source = source
  }

  /** The place of a collection's documents themselves. */
  rootOf(collection: number): Place {
    const known = this.#roots.get(collection)
    if (known !== undefined) return known
    const place = new Place()
    this.#roots.set(collection, place)
    return place
  }

  /** The shape with a number. */
  byId(id: number): Shape {
    return this.#byId[id] ?? this.#learn(new Shape(id, this.#source.names(id)))
  }

  /** These shapes, and from the number `first` on those with these names, which only one answer has. */
  withUnstored(first: number, names: readonly (readonly string[])[]): ShapeLookup {
    const own = names.map((list, index) => this.#unstoredShape(list, first + index))
    return { byId: (id) => own[id - first] ?? this.byId(id) }
  }

  #unstoredShape(names: readonly string[], id: number): Shape {
    const key = JSON.stringify(names)
    const known = this.#unstored.get(key)
    if (known !== undefined) return known
    if (this.#unstored.size >= MAX_UNSTORED_SHAPES) this.#unstored.clear()
    const shape = new Shape(id, names)
    this.#unstored.set(key, shape)
    return shape
  }

  /** The shape with these names, or undefined if an object at `place` should carry its names itself. */
  find(names: readonly string[], place: Place): Shape | undefined {
    if (names.length > MAX_SHAPE_NAMES) return undefined
    const known = this.#follow(names)?.shape
    if (known) return known
    if (this.#full || place.made >= MAX_NEW_SHAPES_PER_PLACE) return undefined
    place.made++
    const id = this.#source.reserve(names)
    if (id >= 0) return this.byId(id)
    this.#full = true
    return undefined
  }

  #follow(names: readonly string[]): Node | undefined {
    let node: Node | undefined = this.#root
    for (let i = 0; i < names.length && node; i++) node = node.next.get(names[i] as string)
    return node
  }

  #learn(shape: Shape): Shape {
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
