/** The error of a step that could not be done: its message is all that a person needs, so no stack is printed. */
export class StepError extends Error {
  name = 'StepError'
}
