import "./element.EXTENSION";
import type eventcast from "./eventcast.EXTENSION";
import type { DetailedHTMLProps, HTMLAttributes } from "react";

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "event-cast": DetailedHTMLProps<HTMLAttributes<HTMLElement>, HTMLElement> & eventcast.ElementAttributes & {
        /** A cancelled event hides its message. */
        onmessage?: (event: CustomEvent<string | ArrayBuffer>) => void;
      };
    }
  }
}
