// An issuer of oauth2-mock-server for tests: node issuer.mjs URL ISSUER-PORT CONTROL-PORT.
// The control port takes /token (POST, claims as JSON) and answers with an ID token, /rotate
// (a further key signs from now on) and /withdraw (a new key, and none of the old).
import { createServer } from "node:http";
import { OAuth2Server } from "oauth2-mock-server";

const [url, port, control] = process.argv.slice(2);
let server, kid;

async function rotate() {
  kid = (await server.issuer.keys.generate("RS256")).kid;
}

async function begin() {
  if (server) await server.stop();
  server = new OAuth2Server();
  server.issuer.url = url;
  await rotate();
  await server.start(Number(port), "127.0.0.1");
  server.issuer.url = url; // start gives it its own
}

const sign = (claims) => server.issuer.buildToken({ kid, scopesOrTransform: (_, payload) => Object.assign(payload, claims) });
const orders = { "/token": (text) => sign(JSON.parse(text)), "/rotate": rotate, "/withdraw": begin };

await begin();
createServer(async (request, response) => {
  let text = "";
  for await (const chunk of request) text += chunk;
  response.end((await orders[request.url](text)) ?? "");
}).listen(Number(control), "127.0.0.1");
