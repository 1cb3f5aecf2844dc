// <tracetail-panel>: the live log of one launch. One import brings all of it:
//   <script type="module" src="https://panel.example/tracetail-panel.js"></script>
export { TracetailPanel } from "./static/component/element.js";
