# The service alone; its PostgreSQL is that of DATABASE_URL. src/guide/operating.md, "In a container", says how to build and run it.
ARG NODE_VERSION=24.21.0

FROM node:${NODE_VERSION}-trixie-slim AS base
WORKDIR /app

# What the service needs at run time. None of it has an install script of its own; ours mends postgres.js.
FROM base AS dependencies
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev --omit=optional --ignore-scripts
COPY src/storage/engine/driver-mends.mjs src/storage/engine/mend-postgres.mjs src/storage/engine/
RUN node src/storage/engine/mend-postgres.mjs

# Neither tsc nor Vite needs an install script. The binaries of Vite's bundler are optional dependencies.
FROM base AS build
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts
COPY tsconfig.json ./
COPY src src
RUN npm run build

FROM base
ENV NODE_ENV=production HOST=0.0.0.0
# All of it is root's, and the service writes no file: the root file system may be read-only.
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY drizzle drizzle
COPY src/guide src/guide
COPY --from=build /app/dist dist

# The image's user `node`, by number: Kubernetes cannot tell that a name is not root (runAsNonRoot).
USER 1000:1000
EXPOSE 3000

# Live, not ready: an unhealthy container gets replaced, and that mends no database; it would take down every instance
# at once, and the requests they could still refuse properly. Whoever routes requests should ask /health/ready.
# The service listens only once it has migrated, so at the start `healthy` does say that the database was there.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 3000) + '/health/live').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]

# Node itself is process 1, without npm or a shell that would swallow SIGTERM. The service handles its signals, which
# process 1 must (a signal that comes before they are handled, in the first third of a second, is lost on it), and starts
# no processes that would need reaping.
CMD ["node", "dist/main.js"]

# Last, so that another revision rebuilds nothing. Whoever publishes the image gives VERSION and REVISION.
ARG NODE_VERSION
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="clocktick" \
  org.opencontainers.image.description="A REST service that remembers: what was true at any past tick or instant" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.base.name="docker.io/library/node:${NODE_VERSION}-trixie-slim"
