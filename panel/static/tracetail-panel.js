// <tracetail-panel>, served as /tracetail-panel.js: one import brings all of it.
//   <script type="module" src="https://panel.example/tracetail-panel.js"></script>

export { TracetailPanel } from "./static/component/panel-element.js";
