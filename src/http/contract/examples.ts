/* The entity, instant and activity in the examples of the OpenAPI document. */

export const EXAMPLE_ID = 'c510c931-2d93-5035-8ec9-c89afd5eba93';
export const EXAMPLE_INSTANT = '2016-01-08T00:00:00.000000Z';
export const EXAMPLE_ACTIVITY = '01a1fbba-b75f-7646-92a3-d4a3c62ecb9b';
