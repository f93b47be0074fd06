#include "gateway/api/openapi/document.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "gateway/api/openapi/operations.h"

namespace quire::gateway {
namespace {

using json = nlohmann::json;
using testing::HasSubstr;

json Document() { return json::parse(OpenApiDocument("1.2.3")); }

void CollectRefs(const json& value, std::set<std::string>& refs) {
  if (!value.is_structured()) return;
  for (const auto& [name, inner] : value.items()) {
    if (name == "$ref" && inner.is_string()) {
      refs.insert(inner.get<std::string>());
    } else {
      CollectRefs(inner, refs);
    }
  }
}

TEST(OpenApiDocumentTest, EveryReferenceHasItsEndAndNothingIsLeftOver) {
  const json document = Document();
  std::set<std::string> refs;
  CollectRefs(document, refs);
  EXPECT_GT(refs.size(), 50u);
  for (const std::string& ref : refs) {
    EXPECT_TRUE(document.contains(json::json_pointer(ref.substr(1)))) << ref;
  }
  for (const auto& [name, schema] : document["components"]["schemas"].items()) {
    EXPECT_TRUE(refs.contains("#/components/schemas/" + name)) << name << " is nobody's";
    EXPECT_FALSE(schema.is_null()) << name;
  }
}

TEST(OpenApiDocumentTest, SaysItsVersionAndEveryOperationOnce) {
  const json document = Document();
  EXPECT_EQ(document["info"]["version"], "1.2.3");
  std::set<std::string> ids;
  for (const auto& [path, item] : document["paths"].items()) {
    for (const auto& [method, operation] : item.items()) {
      EXPECT_TRUE(ids.insert(operation["operationId"].get<std::string>()).second);
      EXPECT_TRUE(operation["responses"].contains("200")) << path;
    }
  }
  EXPECT_EQ(ids.size(), Operations().size());
}

TEST(OpenApiDocumentTest, LimitsAreTheDeclarations) {
  const json schemas = Document()["components"]["schemas"];
  const json chat = schemas["ChatRequest"]["properties"];
  EXPECT_EQ(chat["temperature"]["minimum"], 0);
  EXPECT_EQ(chat["temperature"]["maximum"], 2);
  EXPECT_EQ(chat["temperature"]["type"], json({"number", "null"}));
  EXPECT_EQ(chat["repetition_penalty"]["minimum"], 0.01);
  EXPECT_EQ(chat["n"]["default"], 1);
  EXPECT_EQ(chat["user"]["x-max-bytes"], 512);
  EXPECT_EQ(chat["model"]["type"], "string");
  EXPECT_EQ(chat["best_of"]["enum"], json({1, nullptr}));
  EXPECT_EQ(schemas["ChatRequest"]["required"], json({"model", "messages"}));
  EXPECT_EQ(schemas["CompletionRequest"]["properties"]["best_of"]["maximum"], 4);
  const json prompts = schemas["CompletionRequest"]["properties"]["prompt"]["anyOf"];
  EXPECT_EQ(prompts[1]["minItems"], 1);
  EXPECT_EQ(prompts[2]["items"]["anyOf"][1]["minItems"], 1);
  EXPECT_EQ(schemas["MessagesRequest"]["required"], json({"model", "messages", "max_tokens"}));
  EXPECT_EQ(schemas["CountTokensRequest"]["required"], json({"model", "messages"}));
}

// A tag that may be absent is required in no variant that it stands for.
TEST(OpenApiDocumentTest, VariantsAreToldByTheirTag) {
  const json item = Document()["components"]["schemas"]["InputItem"];
  ASSERT_EQ(item["anyOf"].size(), 4u);
  EXPECT_EQ(item["anyOf"][0]["required"], json({"role", "content"}));
  EXPECT_EQ(item["anyOf"][0]["properties"]["type"]["enum"], json({"message", nullptr}));
  EXPECT_EQ(item["anyOf"][1]["required"], json({"type", "call_id", "name"}));
  EXPECT_THAT(item["anyOf"][3]["properties"]["type"]["description"], HasSubstr("no part of a prompt"));
  EXPECT_FALSE(item.contains("properties"));
}

TEST(OpenApiDocumentTest, PathsOfRoutes) {
  EXPECT_EQ(RoutePath("/v1/models/{model}"), "/v1/models/*");
  EXPECT_EQ(RoutePath("/v1/models"), "/v1/models");
}

}  // namespace
}  // namespace quire::gateway
