// What graphql-http's audits say of a server: `node graphql_http.mjs URL` prints one JSON object.
import { serverAudits } from 'graphql-http';

const found = {};
for (const audit of serverAudits({ url: process.argv[2], fetchFn: fetch })) {
  const result = await audit.fn();
  found[audit.id] = {
    name: audit.name,
    status: result.status,
    ...(result.reason === undefined ? {} : { reason: String(result.reason) }),
  };
  if (result.response && !result.response.bodyUsed) {
    await result.response.text();
  }
}
console.log(JSON.stringify(found));
