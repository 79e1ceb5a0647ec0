// Starts the API page: reads the document that this server writes, sends requests nowhere else.
"use strict";
const page = document.getElementById("api-docs");
SwaggerUIBundle({ url: page.dataset.schema, domNode: page, deepLinking: true, validatorUrl: null, supportedSubmitMethods: ["get"] });
