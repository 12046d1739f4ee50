import { defineConfig } from 'drizzle-kit';

export default defineConfig({
  dialect: 'postgresql',
  schema: './src/storage/schema.ts',
  out: './drizzle',
  schemaFilter: ['clocktick'],
  migrations: { schema: 'clocktick', table: 'migration' },
});
