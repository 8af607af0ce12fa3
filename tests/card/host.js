// The host's side of MCP Apps, by the protocol's own AppBridge. What the card asks of the server goes
// to `window.callTool`, which the test connects to a real client and server.
import { AppBridge, PostMessageTransport } from "@modelcontextprotocol/ext-apps/app-bridge";

const POLICY =
  "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

window.sizes = [];
window.heard = [];
window.addEventListener("message", ({ data }) => window.heard.push(data.method ?? "reply"));

window.openCard = async ({ html, input, result, hostContext }) => {
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts";
  frame.style = "width: 100%; height: 700px; border: 0";
  frame.title = "card";
  document.body.replaceChildren(frame);

  const bridge = new AppBridge(
    null,
    { name: "Test host", version: "1.0.0" },
    { serverTools: {} },
    { hostContext },
  );
  bridge.oncalltool = (params) => window.callTool(params);
  bridge.onsizechange = (size) => {
    window.sizes.push(size);
    if (size.height) frame.style.height = `${size.height}px`;
  };
  const initialized = new Promise((resolve) => (bridge.oninitialized = resolve));
  await bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
  frame.srcdoc = html.replace(
    "<head>",
    `<head><meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
  );
  await initialized;
  await bridge.sendToolInput({ arguments: input });
  await bridge.sendToolResult(result);
  window.bridge = bridge;
};

// Another frame of the same page speaks to the card as if it were the host.
window.forge = (text) =>
  new Promise((done) => {
    const params = { content: [{ type: "text", text }] };
    const message = { jsonrpc: "2.0", method: "ui/notifications/tool-result", params };
    const other = document.createElement("iframe");
    window.addEventListener("message", ({ source }) => source === other.contentWindow && done());
    other.srcdoc = `<script>
      parent.frames[0].postMessage(${JSON.stringify(message)}, "*");
      parent.postMessage("forged", "*");
    </` + `script>`;
    document.body.append(other);
  });
