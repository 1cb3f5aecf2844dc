// <tracetail-panel>, served as /tracetail-panel.js: with all that it imports.
//   <script type="module" src="https://panel.example/tracetail-panel.js"></script>

export { TracetailPanel } from "./component/panel-element.js";
