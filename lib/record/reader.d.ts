import type { ShapeTable } from './shapes.js';
/** The document stored in `record` between `start` and `end`, codec byte first. */
export declare function readRecord(record: Buffer, start: number, end: number, table: ShapeTable): object;
