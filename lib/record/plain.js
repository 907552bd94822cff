'use strict'
Object.defineProperty(exports, '__esModule', { value: true })
exports.isPlainObject = isPlainObject
/** Which objects are documents or parts of documents by their kind. */
const { getPrototypeOf, hasOwn } = Object
/** Whether `value` is an object that was made by a literal, by JSON or without a prototype, in any realm. */
function isPlainObject(value) {
  if (typeof value !== 'object' || value === null) return false
  const prototype = getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || isForeignObjectPrototype(prototype)
}
/** `Object.prototype` of another realm: the only prototype that itself has none and owns `isPrototypeOf`. */
function isForeignObjectPrototype(prototype) {
  return getPrototypeOf(prototype) === null && hasOwn(prototype, 'isPrototypeOf')
}
