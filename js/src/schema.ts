/** Values that come from the app or from other builds: JSON, and schemas that check it. */
import { isObject } from "./arguments.js";
import { SyncError } from "./errors.js";

/** The part of the Standard Schema interface that Tidelog calls. Zod, Valibot, ArkType and others fit. */
export interface StandardSchema<Output = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    /** Must answer synchronously; a promise is an `invalid-value` error. */
    readonly validate: (value: unknown) =>
      | { readonly value: Output; readonly issues?: undefined }
      | { readonly issues: readonly { readonly message: string }[] }
      | Promise<unknown>;
    readonly types?: { readonly input: unknown; readonly output: Output } | undefined;
  };
}

/** The type a schema describes. */
export type SchemaOutput<S extends StandardSchema> = NonNullable<S["~standard"]["types"]>["output"];

/** Some libraries' schemas are functions. */
export function isSchema(value: unknown): value is StandardSchema {
  return (isObject(value) || typeof value === "function") && "~standard" in value;
}

/** Why a schema refuses a value, or null. The value itself is never changed: what is stored is what the app wrote. */
export function schemaProblem(schema: StandardSchema, value: unknown): string | null {
  const result = schema["~standard"].validate(value);
  if (result instanceof Promise || !("issues" in result || "value" in result)) {
    return "its schema answers asynchronously; Tidelog needs one that answers at once";
  }
  if (result.issues === undefined) return null;
  return result.issues.map((issue) => issue.message).join("; ") || "its schema refuses it";
}

/**
 * Why a value is not JSON, or null. `JSON.stringify` alone would change such a value silently, and the app that
 * wrote it would see something else after a reload. An absent key (`undefined` in an object) is fine.
 */
export function jsonProblem(value: unknown, place = "payload", above: readonly object[] = []): string | null {
  switch (typeof value) {
    case "string":
    case "boolean":
      return null;
    case "number":
      return Number.isFinite(value) ? null : `${place} is ${value}, which JSON does not have`;
    case "object":
      break;
    default:
      return `${place} is a ${typeof value}, which JSON does not have`;
  }
  if (value === null) return null;
  if (above.includes(value)) return `${place} contains itself`;
  const inside = [...above, value];
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const problem = jsonProblem(value[index], `${place}[${index}]`, inside);
      if (problem !== null) return problem;
    }
    return null;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return `${place} is an object of a class; JSON has plain objects only`;
  for (const [key, item] of Object.entries(value)) {
    const problem = item === undefined ? null : jsonProblem(item, `${place}.${key}`, inside);
    if (problem !== null) return problem;
  }
  return null;
}

/** Throws `invalid-value` when there is a problem. */
export function refuseInvalid(problem: string | null, stream: string): void {
  if (problem !== null) throw new SyncError("invalid-value", problem, { stream });
}
