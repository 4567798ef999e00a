// A certified OpenID Connect provider (npm oidc-provider) with its own development pages, where any
// name signs in. Arguments: the folder of node_modules, the port, the people (a JSON file, read at
// every question, so that a test can move somebody to another group), the gateway's address.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, port, people, gateway] = process.argv.slice(2);
const main = join(modules, "oidc-provider", "lib", "index.js");
const { default: Provider } = await import(pathToFileURL(main).href);

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "mlgate",
      client_secret: "a secret of the tests",
      redirect_uris: [`${gateway}/access/callback`],
      post_logout_redirect_uris: [`${gateway}/access/logout`],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
    },
  ],
  scopes: ["openid", "profile", "email", "groups"],
  claims: {
    openid: ["sub"],
    profile: ["preferred_username"],
    email: ["email", "email_verified"],
    groups: ["groups"],
  },
  findAccount: (_ctx, id) => {
    const known = () => JSON.parse(readFileSync(people, "utf8"))[id];
    if (!known()) {
      return undefined;
    }
    return {
      accountId: id,
      claims: () => ({
        sub: id,
        preferred_username: id,
        email: `${id}@example.com`,
        email_verified: true,
        groups: known(),
      }),
    };
  },
  issueRefreshToken: (_ctx, client) => client.grantTypeAllowed("refresh_token"),
  rotateRefreshToken: true,
  cookies: { keys: ["a secret of the tests"] },
});
provider.on("server_error", (_ctx, error) => console.error(error));
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
