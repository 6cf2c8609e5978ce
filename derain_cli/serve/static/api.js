// Requests to the server of this page, the only one it talks to.

const MINE = { "X-Derain": "1" };

export class Problem extends Error {
  constructor(status, reason, hint) {
    super(reason);
    Object.assign(this, { status, reason, hint });
  }
}

const GONE = ["the server does not respond", "check that derain serve is still running"];

async function ask(method, path) {
  let response;
  try {
    response = await fetch(path, { method, headers: MINE, cache: "no-store" });
  } catch {
    throw new Problem(0, ...GONE);
  }
  if (!response.ok) throw problemFrom(response.status, await response.text());
  return response.status === 204 ? null : response.json();
}

function problemFrom(status, text) {
  try {
    const { reason, hint } = JSON.parse(text);
    return new Problem(status, reason, hint);
  } catch {
    return new Problem(status, status === 503 ? "the server is busy" : `the server responded with status ${status}`, "try again in a moment");
  }
}

export const about = () => ask("GET", "/api/about");

export class Session {
  static async open() {
    return new Session((await ask("POST", "/api/sessions")).session);
  }

  constructor(name) {
    this.path = `/api/sessions/${name}`;
  }

  files = () => ask("GET", this.path).then((answer) => answer.files);
  remove = (number) => ask("DELETE", `${this.path}/files/${number}`);
  change = (number, settings) => ask("POST", `${this.path}/files/${number}/settings?${new URLSearchParams(settings)}`);
  still = (number, side, version, index) => `${this.path}/files/${number}/${side}/${index}?v=${version}`;
  result = (number) => `${this.path}/files/${number}/result`;
  all = () => `${this.path}/results.zip`;

  // The request outlives the page.
  close() {
    fetch(this.path, { method: "DELETE", headers: MINE, keepalive: true }).catch(() => {});
  }

  // XMLHttpRequest, as fetch does not report upload progress.
  upload(file, settings, progress) {
    const request = new XMLHttpRequest();
    const sent = new Promise((resolve, reject) => {
      request.open("POST", `${this.path}/files?${new URLSearchParams({ name: file.name, ...settings })}`);
      request.setRequestHeader("X-Derain", "1");
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.onprogress = (event) => progress(event.lengthComputable ? event.loaded / event.total : 0);
      request.onload = () =>
        request.status === 201
          ? resolve(JSON.parse(request.responseText))
          : reject(problemFrom(request.status, request.responseText));
      request.onerror = () => reject(new Problem(0, "the upload was interrupted", "try again"));
      request.onabort = () => reject(new Problem(0, "cancelled", null));
      request.send(file);
    });
    return { sent, stop: () => request.abort() };
  }
}
