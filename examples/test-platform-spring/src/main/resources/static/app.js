// A page of a test platform: the launches that were reported, the log panel, and the plain lines of a WebSocket.
import { createApp, nextTick } from "/webjars/vue/dist/vue.esm-browser.prod.js";

const LINES_KEPT = 500;

const App = {
  template: `
    <header>
      <h1>Test platform <small>测试平台</small></h1>
      <form @submit.prevent="open(wanted)">
        <input v-model.trim="wanted" placeholder="traceId" aria-label="traceId">
        <button>Open 打开</button>
      </form>
    </header>
    <main>
      <nav>
        <h2>Launches 启动</h2>
        <p v-if="!reports.length">No callback has come yet. 还没有回调。</p>
        <button v-for="report in reports" :key="report.eventId" :class="{ chosen: report.traceId === traceId }"
          @click="open(report.traceId)">
          <b>{{ report.model }}</b> <i :class="report.event">{{ report.event }}</i>
          <span>{{ report.host }}:{{ report.port }} · {{ report.traceId }}</span>
          <span v-if="report.exit">{{ report.exit.causeZh || report.exit.cause }}</span>
        </button>
      </nav>
      <section v-if="traceId">
        <tracetail-panel :key="traceId" .token="token" :src="src" :trace-id="traceId" :line="line"
          link="/?traceId={traceId}&line={line}" @token-needed="renew" />
        <h2>The same lines by WebSocket <small>{{ connected ? "connected 已连接" : "…" }}</small></h2>
        <pre ref="output"><span v-for="(line, at) in lines" :key="at" :class="line.level">{{ line.text }}\n</span></pre>
      </section>
    </main>`,

  data() {
    const query = new URLSearchParams(location.search);
    return { wanted: query.get("traceId") ?? "", line: query.get("line"), traceId: "", src: "", token: "", reports: [],
      lines: [], connected: false };
  },

  async mounted() {
    if (this.wanted) await this.open(this.wanted, this.line);
    for (;;) {
      const answer = await fetch("/api/reports").catch(() => null);
      if (answer?.ok) this.reports = await answer.json();
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  },

  methods: {
    async tokenOf(traceId) {
      const answer = await fetch(`/api/token?traceId=${encodeURIComponent(traceId)}`);
      return answer.json();
    },

    async open(traceId, line = null) {
      if (!traceId || traceId === this.traceId) return;
      const { panel, token } = await this.tokenOf(traceId);
      if (!customElements.get("tracetail-panel")) await import(`${panel}/tracetail-panel.js`);
      Object.assign(this, { wanted: traceId, src: panel, token, line, traceId, lines: [], connected: false });
      history.replaceState(null, "", `?traceId=${encodeURIComponent(traceId)}`);
      this.connect(traceId);
    },

    async renew() {
      this.token = (await this.tokenOf(this.traceId)).token;
    },

    connect(traceId) {
      this.disconnect?.();
      const scheme = location.protocol === "https:" ? "wss:" : "ws:";
      const socket = new WebSocket(`${scheme}//${location.host}/ws/logs?traceId=${encodeURIComponent(traceId)}`);
      socket.onopen = () => {
        this.connected = true;
        this.lines = []; // the server sends them from the first line again
      };
      socket.onmessage = async ({ data }) => {
        const printed = JSON.parse(data).filter((line) => line.kind !== "event");
        this.lines = [...this.lines, ...printed].slice(-LINES_KEPT);
        await nextTick();
        this.$refs.output.scrollTop = this.$refs.output.scrollHeight;
      };
      let again;
      socket.onclose = () => {
        this.connected = false;
        again = setTimeout(() => this.connect(traceId), 2000);
      };
      this.disconnect = () => {
        clearTimeout(again);
        socket.onopen = socket.onmessage = socket.onclose = null;
        socket.close();
      };
    },
  },
};

const app = createApp(App);
app.config.compilerOptions.isCustomElement = (tag) => tag === "tracetail-panel";
app.mount("#app");
