/** Asks the engine. */
export interface ShapeSource {
    /** The number of the shape with these names, or -1 if the store has no room for it. */
    reserve(names: readonly string[]): number;
    /** The names of a shape. */
    names(id: number): readonly string[];
}
/** A place in documents where objects stand, and the shape that the last one there had. */
export declare class Place {
    /** The shape to try first. */
    shape: Shape | undefined;
    /** How many shapes were made for this place. */
    made: number;
}
/** One shape. */
export declare class Shape {
    /** Its number in the store. */
    readonly id: number;
    /** The names of the members, in order. */
    readonly names: readonly string[];
    /** The places of the members' values. */
    readonly places: readonly Place[];
    /** Makes objects of this shape; see the reader. */
    build: (() => object) | undefined;
    /** How many objects of this shape were read. */
    reads: number;
    constructor(id: number, names: readonly string[]);
}
/** What this thread knows of the shapes of one store. */
export declare class ShapeTable {
    #private;
    constructor(source: ShapeSource);
    /** The place of a collection's documents themselves. */
    rootOf(collection: number): Place;
    /** The shape with a number. */
    byId(id: number): Shape;
    /** The shape with these names, or undefined if an object at `place` should carry its names itself. */
    find(names: readonly string[], place: Place): Shape | undefined;
}
