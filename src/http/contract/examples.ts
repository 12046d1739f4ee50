/* The entity, instant and activity in the examples of the OpenAPI document. */

export const EXAMPLE_ID = '74738ff5-5367-5958-9aee-98fffdcd1876';
export const EXAMPLE_INSTANT = '2016-01-08T00:00:00.000000Z';
export const EXAMPLE_ACTIVITY = '01a1fbba-b75f-7646-92a3-d4a3c62ecb9b';
