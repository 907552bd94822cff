/** Whether `value` is an object that was made by a literal, by JSON or without a prototype, in any realm. */
export declare function isPlainObject(value: unknown): value is Record<string, unknown>;
