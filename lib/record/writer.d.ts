import type { Place, ShapeTable } from './shapes.js';
/** The document holds what records cannot; who wants to know what looks for it with `findFault`. */
export declare const REFUSED: unique symbol;
/** The document is over the limit in bytes. */
export declare const TOO_LARGE: unique symbol;
/**
 * The record of a document in memory of its own, codec byte first. `without` names a member to leave out.
 *
 * Throws `REFUSED` or `TOO_LARGE`, and what getters of the document throw.
 */
export declare function writeRecord(document: object, without: string | undefined, root: Place, shapes: ShapeTable): Buffer;
