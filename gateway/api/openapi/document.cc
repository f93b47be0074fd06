#include "gateway/api/openapi/document.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gateway/api/chat/chat_answers.h"
#include "gateway/api/completions/completion_answers.h"
#include "gateway/api/inference/inference_answers.h"
#include "gateway/api/messages/messages_answers.h"
#include "gateway/api/models/models_answers.h"
#include "gateway/api/openapi/answer_schema.h"
#include "gateway/api/openapi/operations.h"
#include "gateway/api/openapi/request_schema.h"
#include "gateway/api/responses/responses_answers.h"
#include "gateway/api/text/text_answers.h"

namespace quire::gateway {
namespace {

using json = nlohmann::ordered_json;

constexpr const char* kAbout =
    "Fields that no schema names are ignored; `null` means absent; an integer may be written 5, 5.0 "
    "or 5e0. A string's `x-max-bytes` counts bytes of UTF-8. Bodies have at most 8 MiB and may be "
    "gzip (`Content-Encoding: gzip`). The schema of `text/event-stream` is that of each event, "
    "whose `data` is JSON of its `contentSchema`. `x-aliases` are other paths of the same "
    "operation. Beside the statuses that stand with an operation, every path may answer 405, 417, "
    "431 and 501, of requests that are no good HTTP. What goes across fields in ways that a schema "
    "can't say (the model's context, ids of its vocabulary, results that belong to calls) is "
    "refused with its place, too.";

struct StatusRow {
  int status;
  const char* about;
};

constexpr StatusRow kStatuses[] = {
    {400, "The body is no JSON, a schema can't be held to, or prompt and answer don't fit the context."},
    {401, "No key, or one that is unknown or revoked."},
    {402, "The account's cap is reached."},
    {404, "No such model, or none that this key may use."},
    {408, "The request came too slowly."},
    {413, "More than 8 MiB, as sent or inflated."},
    {415, "A `Content-Encoding` that is neither gzip nor identity."},
    {422, "A field; `param` says which."},
    {429, "Too many requests wait, or are not admitted yet: retry later."},
    {500, "A defect: give the operator the `x-request-id`."},
    {503, "No capacity, or not ready: retry later."},
};

json Header(const char* about, bool required) {
  return {{"description", about}, {"required", required}, {"schema", schema::Text()}};
}

json CommonHeaders(bool is_messages) {
  json headers{{"x-request-id", Header("Leads to the request's line in the operator's log.", true)}};
  if (is_messages) headers["request-id"] = Header("The same.", true);
  return headers;
}

json HeadersOf(const OperationRow& row) {
  json headers = CommonHeaders(row.is_messages);
  if (row.has_etag) headers["etag"] = Header("Who sends it as `If-None-Match` is answered 304.", true);
  return headers;
}

std::string ErrorName(int status, bool is_messages) {
  return absl::StrCat(is_messages ? "MessagesError" : "Error", status);
}

json ErrorResponse(const StatusRow& row, bool is_messages) {
  json response{{"description", row.about}, {"headers", CommonHeaders(is_messages)}};
  if (row.status == 401) response["headers"]["www-authenticate"] = Header("How to give a key.", true);
  if (row.status == 429 || row.status == 503) {
    response["headers"]["retry-after"] = Header("Seconds.", false);
  }
  response["content"]["application/json"]["schema"] = schema::Ref(is_messages ? "MessagesError" : "Error");
  return response;
}

json ErrorResponses() {
  json responses;
  for (const bool is_messages : {false, true}) {
    for (const StatusRow& row : kStatuses) {
      responses[ErrorName(row.status, is_messages)] = ErrorResponse(row, is_messages);
    }
  }
  return responses;
}

void AddErrorSchema(json& schemas) {
  schemas["ErrorDetails"] =
      schema::Object({{"message", schema::About("What to do.", schema::Text())},
                      {"type", schema::Text()},
                      {"param", schema::About("The field's path.", schema::TextOrNull())},
                      {"code", schema::TextOrNull()}});
  schemas["Error"] = schema::Object({{"error", schema::Ref("ErrorDetails")}});
}

// One of a stream's, by its fields.
json EventOf(const OperationRow& row) {
  json data{{"type", "string"},
            {"contentMediaType", "application/json"},
            {"contentSchema", schema::Ref(row.events)}};
  if (row.says_done) data = {{"anyOf", json::array({schema::Just("[DONE]"), std::move(data)})}};
  return schema::About("Of each event.", schema::Object({{"event?", schema::Text()}, {"data", data}}));
}

json Answer(const OperationRow& row) {
  json answer{{"description", *row.events == '\0' ? "The answer." : "The answer, whole or as a stream."},
              {"headers", HeadersOf(row)}};
  answer["content"]["application/json"]["schema"] =
      *row.answer == '\0' ? schema::AnyObject() : schema::Ref(row.answer);
  if (*row.events != '\0') {
    answer["content"]["text/event-stream"]["schema"] = EventOf(row);
  }
  return answer;
}

json Body(const OperationRow& row, json& schemas) {
  json either = json::array();
  for (const DeclaredObject* body : row.bodies) either.push_back(SchemaRef(*body, schemas));
  json content;
  content["schema"] = either.size() == 1 ? either.front() : json{{"anyOf", either}};
  return {{"required", true}, {"content", {{"application/json", std::move(content)}}}};
}

json OperationOf(const OperationRow& row, json& schemas) {
  json operation{{"operationId", row.id}, {"summary", row.summary}};
  if (!row.aliases.empty()) {
    operation["description"] = absl::StrCat("Also at ", absl::StrJoin(row.aliases, ", "), ".");
    for (const char* alias : row.aliases) operation["x-aliases"].push_back(alias);
  }
  if (row.is_open) operation["security"] = json::array();
  if (std::string_view(row.path).ends_with("{model}")) {
    operation["parameters"].push_back(
        {{"name", "model"},
         {"in", "path"},
         {"required", true},
         {"description", "A name from `GET /v1/models`, slashes escaped or not."},
         {"schema", {{"type", "string"}, {"minLength", 1}}}});
  }
  if (!row.bodies.empty()) operation["requestBody"] = Body(row, schemas);
  operation["responses"]["200"] = Answer(row);
  if (row.has_etag) {
    operation["responses"]["304"] = {{"description", "It is what the client has already."},
                                     {"headers", HeadersOf(row)}};
  }
  if (row.callbacks != nullptr) operation["callbacks"] = row.callbacks();
  for (const int status : row.errors) {
    operation["responses"][absl::StrCat(status)] = {
        {"$ref", absl::StrCat("#/components/responses/", ErrorName(status, row.is_messages))}};
  }
  return operation;
}

json AnswerSchemas() {
  json schemas;
  AddErrorSchema(schemas);
  AddChatAnswers(schemas);
  AddCompletionAnswers(schemas);
  AddInferenceAnswers(schemas);
  AddMessagesAnswers(schemas);
  AddResponsesAnswers(schemas);
  AddModelsAnswers(schemas);
  AddTextAnswers(schemas);
  return schemas;
}

}  // namespace

std::string OpenApiDocument(const std::string& version) {
  json document{{"openapi", "3.1.0"},
                {"info", {{"title", "Quire"}, {"version", version}, {"description", kAbout}}},
                {"servers", json::array({{{"url", "/"}}})}};
  document["security"] = json::array({{{"bearer", json::array()}}, {{"x-api-key", json::array()}}});
  json schemas = AnswerSchemas();
  for (const OperationRow& row : Operations()) {
    document["paths"][row.path][absl::AsciiStrToLower(row.method)] = OperationOf(row, schemas);
  }
  json& components = document["components"];
  components["schemas"] = std::move(schemas);
  components["responses"] = ErrorResponses();
  components["securitySchemes"] = {
      {"bearer", {{"type", "http"}, {"scheme", "bearer"}, {"description", "A key: sk-quire-..."}}},
      {"x-api-key", {{"type", "apiKey"}, {"in", "header"}, {"name", "x-api-key"}}}};
  return document.dump();
}

}  // namespace quire::gateway
