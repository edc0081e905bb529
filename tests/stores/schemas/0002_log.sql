PRAGMA application_id = 1164861795;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE action_types (
    tenant_id        TEXT NOT NULL,
    action_type      TEXT NOT NULL,
    registry_version INTEGER NOT NULL,
    body             TEXT NOT NULL,
    PRIMARY KEY (tenant_id, action_type, registry_version)
) STRICT;
INSERT INTO "action_types" VALUES('','CREATE_INTERNAL_NOTE',1,'{"action_type":"CREATE_INTERNAL_NOTE","registry_version":1,"tool_name":"internal.create_note","tool_schema_version":"1","connector_id":"internal","parameter_schema":{"type":"object","properties":{"title":{"type":"string"}}},"parameter_mapping":[{"param":"title","tool_param":"title","transform":"PASSTHROUGH","required":true,"function":null}],"risk_class":"LOW","write_semantics":{"mode":"IDEMPOTENT","key_retention_seconds":86400,"absence_final_after_seconds":null,"has_lookup":false,"failure_burns_key":false},"compensation":{"strategy":"MANUAL","tool_name":null,"tool_schema_version":null,"write_semantics":null,"note":"Delete the note by hand."},"summary":"Create the internal note “{title}”","definition_hash":"4c4ed1afbfdaa1e4c3bf7bbb82d730cecb7e384da91eea4f3cc093fd545524d6","created_at":"2026-05-28T20:26:40.000Z","required_scopes":[],"effect_key":null,"target":null,"caps":{"retry_count":10,"timeout_seconds":300,"expires_in_seconds":2592000},"deprecated_at":null,"tenant_id":""}');
CREATE TABLE approvals (
    action_intent_id TEXT NOT NULL,
    number           INTEGER NOT NULL,
    body             TEXT NOT NULL,
    PRIMARY KEY (action_intent_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO "approvals" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f6209c',1,'{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f6209c","revision":1,"approval_digest":"f05c56b975a066f442bfb7638d4ac7fbaba3ea4ed3e6df9eb779624dfdc20145","decision":"APPROVED","decided_by":{"iss":"https://issuer.example","sub":"ana"},"approval_source":"HUMAN","decided_at":"2026-05-28T20:26:40.000Z","comment":"","run_number":0,"subject_digest":""}');
CREATE TABLE budget_starts (
    tenant_id   TEXT NOT NULL,
    second      INTEGER NOT NULL,
    action_type TEXT NOT NULL,
    starts      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, second, action_type)
) STRICT, WITHOUT ROWID;
CREATE TABLE budgets (
    tenant_id   TEXT NOT NULL,
    action_type TEXT NOT NULL,
    body        TEXT NOT NULL,
    PRIMARY KEY (tenant_id, action_type)
) STRICT;
INSERT INTO "budgets" VALUES('acme','*','{"tenant_id":"acme","action_type":"*","window_seconds":3600,"max_executions":9,"set_by":"https://issuer.example#ana","set_at":"2026-05-28T20:26:40.000Z"}');
CREATE TABLE delivery_cursors (
    name     TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "delivery_cursors" VALUES('webhooks',3);
CREATE TABLE earlier_revisions (
    action_intent_id TEXT NOT NULL,
    revision         INTEGER NOT NULL,
    body             TEXT NOT NULL,
    PRIMARY KEY (action_intent_id, revision)
) STRICT;
CREATE TABLE effect_keys (
    tenant_id        TEXT NOT NULL,
    effect_key       TEXT NOT NULL,
    action_intent_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, effect_key)
) STRICT, WITHOUT ROWID;
INSERT INTO "effect_keys" VALUES('acme','refund:1','ai_019e7044-8800-7cd0-b2cd-8be6f9f6209c');
CREATE TABLE executions (
    number           INTEGER NOT NULL PRIMARY KEY,
    action_intent_id TEXT NOT NULL UNIQUE,
    tenant_id        TEXT NOT NULL,
    action_type      TEXT NOT NULL,
    status           TEXT NOT NULL,
    run_number       INTEGER NOT NULL,
    updated_at       TEXT NOT NULL,
    resume_at        INTEGER NOT NULL,
    deadline_at      INTEGER NOT NULL,
    charged_second   INTEGER NOT NULL,
    entries          TEXT NOT NULL,
    body             TEXT NOT NULL
) STRICT;
INSERT INTO "executions" VALUES(1,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2','acme','CREATE_INTERNAL_NOTE','RUNNING',1,'2026-05-28T20:26:40.000Z',0,1780000120000,1780000000,'[3,4,5]','{"attempt":{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2","tenant_id":"acme","account_id":"north","action_type":"CREATE_INTERNAL_NOTE","connector_id":"internal","run_number":1,"owner":"exec-ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2","fence":1,"status":"RUNNING","idempotency_key":"082245fd7887c0d9142b85783da0468f79fd35de5e137f85fe6ce85fbbd9ddd2","started_at":"2026-05-28T20:26:40.000Z","updated_at":"2026-05-28T20:26:40.000Z","trace_id":"019e704488007cd0b2cd8be6f9f620a5","deadline_at":1780000120000,"switch_marks":[{"scope":"global","generation":0},{"scope":"connector:internal","generation":0},{"scope":"action-type:CREATE_INTERNAL_NOTE","generation":0},{"scope":"tenant:acme","generation":0},{"scope":"tenant:acme/connector:internal","generation":0},{"scope":"tenant:acme/action-type:CREATE_INTERNAL_NOTE","generation":0}]},"permits":[{"idempotency_key":"082245fd7887c0d9142b85783da0468f79fd35de5e137f85fe6ce85fbbd9ddd2","action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2","tenant_id":"acme","purpose":"EFFECT","run_number":1,"call_no":1,"fence":1,"call_not_after":1780000010000,"reply_not_after":1780000070000,"taken_at":1780000000000}],"outcomes":[],"cancels":[]}');
INSERT INTO "executions" VALUES(2,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620a8','acme','CREATE_INTERNAL_NOTE','SUCCEEDED',1,'2026-05-28T20:26:40.000Z',0,1780000120000,1780000000,'[6,7,8]','{"attempt":{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620a8","tenant_id":"acme","account_id":"south","action_type":"CREATE_INTERNAL_NOTE","connector_id":"internal","run_number":1,"owner":"exec-ai_019e7044-8800-7cd0-b2cd-8be6f9f620a8","fence":1,"status":"SUCCEEDED","idempotency_key":"00b59cf78502b1d4b8a62401ab02da78f38fae59f5078836b5fdb7dc4abce459","started_at":"2026-05-28T20:26:40.000Z","updated_at":"2026-05-28T20:26:40.000Z","trace_id":"019e704488007cd0b2cd8be6f9f620ab","deadline_at":1780000120000,"switch_marks":[{"scope":"global","generation":0},{"scope":"connector:internal","generation":0},{"scope":"action-type:CREATE_INTERNAL_NOTE","generation":0},{"scope":"tenant:acme","generation":0},{"scope":"tenant:acme/connector:internal","generation":0},{"scope":"tenant:acme/action-type:CREATE_INTERNAL_NOTE","generation":0}]},"permits":[{"idempotency_key":"00b59cf78502b1d4b8a62401ab02da78f38fae59f5078836b5fdb7dc4abce459","action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620a8","tenant_id":"acme","purpose":"EFFECT","run_number":1,"call_no":1,"fence":1,"call_not_after":1780000010000,"reply_not_after":1780000070000,"taken_at":1780000000000,"result":"DONE","external_object_refs":[{"system":"internal","object_type":"note","object_id":"note_1","object_url":null,"version":"1"}]}],"outcomes":[{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620a8","run_number":1,"outcome_revision":1,"status":"SUCCEEDED","tenant_id":"acme","account_id":"south","action_type":"CREATE_INTERNAL_NOTE","trace_id":"019e704488007cd0b2cd8be6f9f620ab","attempt_count":1,"tool_name":"internal.create_note","tool_schema_version":"1","registry_version":1,"tool_run_ref":"toolrun/019e704488007cd0b2cd8be6f9f620ab/1/internal.create_note","started_at":"2026-05-28T20:26:40.000Z","completed_at":"2026-05-28T20:26:40.000Z","approval_source":"HUMAN","external_object_refs":[{"system":"internal","object_type":"note","object_id":"note_1","object_url":null,"version":"1"}]}],"cancels":[]}');
INSERT INTO "executions" VALUES(3,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620ae','acme','CREATE_INTERNAL_NOTE','FAILED',1,'2026-05-28T20:26:40.000Z',0,1780000120000,1780000000,'[9,10,11]','{"attempt":{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620ae","tenant_id":"acme","account_id":"south","action_type":"CREATE_INTERNAL_NOTE","connector_id":"internal","run_number":1,"owner":"exec-ai_019e7044-8800-7cd0-b2cd-8be6f9f620ae","fence":1,"status":"FAILED","idempotency_key":"5ddc9b29f507d03fa60beef30275ccd564add71afc7eede14023a1ca3cd9af0d","started_at":"2026-05-28T20:26:40.000Z","updated_at":"2026-05-28T20:26:40.000Z","trace_id":"019e704488007cd0b2cd8be6f9f620b1","deadline_at":1780000120000,"switch_marks":[{"scope":"global","generation":0},{"scope":"connector:internal","generation":0},{"scope":"action-type:CREATE_INTERNAL_NOTE","generation":0},{"scope":"tenant:acme","generation":0},{"scope":"tenant:acme/connector:internal","generation":0},{"scope":"tenant:acme/action-type:CREATE_INTERNAL_NOTE","generation":0}]},"permits":[],"outcomes":[{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620ae","run_number":1,"outcome_revision":1,"status":"FAILED","tenant_id":"acme","account_id":"south","action_type":"CREATE_INTERNAL_NOTE","trace_id":"019e704488007cd0b2cd8be6f9f620b1","attempt_count":1,"tool_name":"internal.create_note","tool_schema_version":"1","registry_version":1,"tool_run_ref":"toolrun/019e704488007cd0b2cd8be6f9f620b1/1/internal.create_note","started_at":"2026-05-28T20:26:40.000Z","completed_at":"2026-05-28T20:26:40.000Z","approval_source":"HUMAN","external_object_refs":[{"system":"internal","object_type":"note","object_id":"note_1","object_url":null,"version":"1"}]}],"cancels":[]}');
INSERT INTO "executions" VALUES(4,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620b4','acme','CREATE_INTERNAL_NOTE','IN_DOUBT',1,'2026-05-28T20:26:40.000Z',0,1780000120000,1780000000,'[12,13,14]','{"attempt":{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620b4","tenant_id":"acme","account_id":"south","action_type":"CREATE_INTERNAL_NOTE","connector_id":"internal","run_number":1,"owner":"exec-ai_019e7044-8800-7cd0-b2cd-8be6f9f620b4","fence":1,"status":"IN_DOUBT","idempotency_key":"03f24e12ce2bfda6d286ee5e6726c3e6bac4d254cd7bfe314b7ea066f5bea47b","started_at":"2026-05-28T20:26:40.000Z","updated_at":"2026-05-28T20:26:40.000Z","trace_id":"019e704488007cd0b2cd8be6f9f620b7","deadline_at":1780000120000,"switch_marks":[{"scope":"global","generation":0},{"scope":"connector:internal","generation":0},{"scope":"action-type:CREATE_INTERNAL_NOTE","generation":0},{"scope":"tenant:acme","generation":0},{"scope":"tenant:acme/connector:internal","generation":0},{"scope":"tenant:acme/action-type:CREATE_INTERNAL_NOTE","generation":0}]},"permits":[],"outcomes":[{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620b4","run_number":1,"outcome_revision":1,"status":"IN_DOUBT","tenant_id":"acme","account_id":"south","action_type":"CREATE_INTERNAL_NOTE","trace_id":"019e704488007cd0b2cd8be6f9f620b7","attempt_count":1,"tool_name":"internal.create_note","tool_schema_version":"1","registry_version":1,"tool_run_ref":"toolrun/019e704488007cd0b2cd8be6f9f620b7/1/internal.create_note","started_at":"2026-05-28T20:26:40.000Z","completed_at":"2026-05-28T20:26:40.000Z","approval_source":"HUMAN","external_object_refs":[{"system":"internal","object_type":"note","object_id":"note_1","object_url":null,"version":"1"}]}],"cancels":[]}');
CREATE TABLE intents (
    action_intent_id TEXT NOT NULL PRIMARY KEY,
    tenant_id        TEXT NOT NULL,
    account_id       TEXT NOT NULL,
    action_type      TEXT NOT NULL,
    connector_id     TEXT NOT NULL,
    proposed_by      TEXT NOT NULL,
    status           TEXT NOT NULL,
    revision         INTEGER NOT NULL,
    body             TEXT NOT NULL
) STRICT;
INSERT INTO "intents" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f6209c','acme','north','CREATE_INTERNAL_NOTE','internal','https://issuer.example#agent-7','PENDING_APPROVAL',1,'{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f6209c","revision":1,"version":1,"tenant_id":"acme","account_id":"north","action_type":"CREATE_INTERNAL_NOTE","parameters":{"title":"Test note","body":"As approved."},"registry_version":1,"tool_call":{"tool_name":"internal.create_note","tool_schema_version":"1","argument_bytes":"{\"body\":\"As approved.\",\"title\":\"Test note\"}"},"risk_class":"LOW","write_semantics":{"mode":"IDEMPOTENT","key_retention_seconds":86400,"absence_final_after_seconds":null,"has_lookup":false,"failure_burns_key":false},"compensation":{"strategy":"MANUAL","tool_name":null,"tool_schema_version":null,"write_semantics":null,"note":"Delete the note by hand."},"connector_id":"internal","connector_version":"1","definition_hash":"4c4ed1afbfdaa1e4c3bf7bbb82d730cecb7e384da91eea4f3cc093fd545524d6","proposed_by":{"iss":"https://issuer.example","sub":"agent-7"},"contributors":[{"iss":"https://issuer.example","sub":"agent-7"}],"execution_policy":{"retry_count":3,"timeout_seconds":60},"expires_at_epoch":1780086400,"created_at":"2026-05-28T20:26:40.000Z","updated_at":"2026-05-28T20:26:40.000Z","trace_id":"019e704488007cd0b2cd8be6f9f6209d","digest_salt":"3a5e4842fab428f762e6e282e5c1657c","approval_digest":"f05c56b975a066f442bfb7638d4ac7fbaba3ea4ed3e6df9eb779624dfdc20145","required_approvals":1,"policy_version":"policy-1","summary":"Create the internal note “Test note”","effect_key":"refund:1"}');
INSERT INTO "intents" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f6209f','acme','north','CREATE_INTERNAL_NOTE','internal','https://issuer.example#agent-7','APPROVED',1,'{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f6209f","revision":1,"version":1,"tenant_id":"acme","account_id":"north","action_type":"CREATE_INTERNAL_NOTE","parameters":{"title":"Test note","body":"As approved."},"registry_version":1,"tool_call":{"tool_name":"internal.create_note","tool_schema_version":"1","argument_bytes":"{\"body\":\"As approved.\",\"title\":\"Test note\"}"},"risk_class":"LOW","write_semantics":{"mode":"IDEMPOTENT","key_retention_seconds":86400,"absence_final_after_seconds":null,"has_lookup":false,"failure_burns_key":false},"compensation":{"strategy":"MANUAL","tool_name":null,"tool_schema_version":null,"write_semantics":null,"note":"Delete the note by hand."},"connector_id":"internal","connector_version":"1","definition_hash":"4c4ed1afbfdaa1e4c3bf7bbb82d730cecb7e384da91eea4f3cc093fd545524d6","proposed_by":{"iss":"https://issuer.example","sub":"agent-7"},"contributors":[{"iss":"https://issuer.example","sub":"agent-7"}],"execution_policy":{"retry_count":3,"timeout_seconds":60},"expires_at_epoch":1780086400,"created_at":"2026-05-28T20:26:40.000Z","updated_at":"2026-05-28T20:26:40.000Z","trace_id":"019e704488007cd0b2cd8be6f9f620a0","digest_salt":"1a71a723738626482f61c62379627cc1","approval_digest":"6b753a0debc4cffdd7ed4a0c878b1506ebaef81f5055b229ab0fb2688deb90fa","required_approvals":1,"policy_version":"policy-1","summary":"Create the internal note “Test note”","status":"APPROVED","approval_source":"HUMAN","approved_at":"2026-05-28T20:26:40.000Z","switch_marks":[{"scope":"global","generation":0},{"scope":"connector:internal","generation":0},{"scope":"action-type:CREATE_INTERNAL_NOTE","generation":0},{"scope":"tenant:acme","generation":0},{"scope":"tenant:acme/connector:internal","generation":0},{"scope":"tenant:acme/action-type:CREATE_INTERNAL_NOTE","generation":0}]}');
INSERT INTO "intents" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2','acme','north','CREATE_INTERNAL_NOTE','internal','https://issuer.example#agent-7','APPROVED',1,'{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2","revision":1,"version":1,"tenant_id":"acme","account_id":"north","action_type":"CREATE_INTERNAL_NOTE","parameters":{"title":"Test note","body":"As approved."},"registry_version":1,"tool_call":{"tool_name":"internal.create_note","tool_schema_version":"1","argument_bytes":"{\"body\":\"As approved.\",\"title\":\"Test note\"}"},"risk_class":"LOW","write_semantics":{"mode":"IDEMPOTENT","key_retention_seconds":86400,"absence_final_after_seconds":null,"has_lookup":false,"failure_burns_key":false},"compensation":{"strategy":"MANUAL","tool_name":null,"tool_schema_version":null,"write_semantics":null,"note":"Delete the note by hand."},"connector_id":"internal","connector_version":"1","definition_hash":"4c4ed1afbfdaa1e4c3bf7bbb82d730cecb7e384da91eea4f3cc093fd545524d6","proposed_by":{"iss":"https://issuer.example","sub":"agent-7"},"contributors":[{"iss":"https://issuer.example","sub":"agent-7"}],"execution_policy":{"retry_count":3,"timeout_seconds":60},"expires_at_epoch":1780086400,"created_at":"2026-05-28T20:26:40.000Z","updated_at":"2026-05-28T20:26:40.000Z","trace_id":"019e704488007cd0b2cd8be6f9f620a3","digest_salt":"d9d4654fec8d4819fb40d6bab2c8e012","approval_digest":"81c2356253e82d120fbc1a52905684c949a9b888178939d70f4d1bf5e322799c","required_approvals":1,"policy_version":"policy-1","summary":"Create the internal note “Test note”","status":"APPROVED","approval_source":"HUMAN","approved_at":"2026-05-28T20:26:40.000Z","switch_marks":[{"scope":"global","generation":0},{"scope":"connector:internal","generation":0},{"scope":"action-type:CREATE_INTERNAL_NOTE","generation":0},{"scope":"tenant:acme","generation":0},{"scope":"tenant:acme/connector:internal","generation":0},{"scope":"tenant:acme/action-type:CREATE_INTERNAL_NOTE","generation":0}]}');
INSERT INTO "intents" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f620a8','acme','south','CREATE_INTERNAL_NOTE','internal','https://issuer.example#agent-7','APPROVED',1,'{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620a8","revision":1,"version":1,"tenant_id":"acme","account_id":"south","action_type":"CREATE_INTERNAL_NOTE","parameters":{"title":"Test note","body":"As approved."},"registry_version":1,"tool_call":{"tool_name":"internal.create_note","tool_schema_version":"1","argument_bytes":"{\"body\":\"As approved.\",\"title\":\"Test note\"}"},"risk_class":"LOW","write_semantics":{"mode":"IDEMPOTENT","key_retention_seconds":86400,"absence_final_after_seconds":null,"has_lookup":false,"failure_burns_key":false},"compensation":{"strategy":"MANUAL","tool_name":null,"tool_schema_version":null,"write_semantics":null,"note":"Delete the note by hand."},"connector_id":"internal","connector_version":"1","definition_hash":"4c4ed1afbfdaa1e4c3bf7bbb82d730cecb7e384da91eea4f3cc093fd545524d6","proposed_by":{"iss":"https://issuer.example","sub":"agent-7"},"contributors":[{"iss":"https://issuer.example","sub":"agent-7"}],"execution_policy":{"retry_count":3,"timeout_seconds":60},"expires_at_epoch":1780086400,"created_at":"2026-05-28T20:26:40.000Z","updated_at":"2026-05-28T20:26:40.000Z","trace_id":"019e704488007cd0b2cd8be6f9f620a9","digest_salt":"b14c1966162bd3b54c0a29d3d0e3f8c8","approval_digest":"09aaa203b9ed7b9165764971cecfed10b01f44a55f70e6959c7cec27992fd270","required_approvals":1,"policy_version":"policy-1","summary":"Create the internal note “Test note”","status":"APPROVED","approval_source":"HUMAN","approved_at":"2026-05-28T20:26:40.000Z","switch_marks":[{"scope":"global","generation":0},{"scope":"connector:internal","generation":0},{"scope":"action-type:CREATE_INTERNAL_NOTE","generation":0},{"scope":"tenant:acme","generation":0},{"scope":"tenant:acme/connector:internal","generation":0},{"scope":"tenant:acme/action-type:CREATE_INTERNAL_NOTE","generation":0}]}');
INSERT INTO "intents" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f620ae','acme','south','CREATE_INTERNAL_NOTE','internal','https://issuer.example#agent-7','APPROVED',1,'{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620ae","revision":1,"version":1,"tenant_id":"acme","account_id":"south","action_type":"CREATE_INTERNAL_NOTE","parameters":{"title":"Test note","body":"As approved."},"registry_version":1,"tool_call":{"tool_name":"internal.create_note","tool_schema_version":"1","argument_bytes":"{\"body\":\"As approved.\",\"title\":\"Test note\"}"},"risk_class":"LOW","write_semantics":{"mode":"IDEMPOTENT","key_retention_seconds":86400,"absence_final_after_seconds":null,"has_lookup":false,"failure_burns_key":false},"compensation":{"strategy":"MANUAL","tool_name":null,"tool_schema_version":null,"write_semantics":null,"note":"Delete the note by hand."},"connector_id":"internal","connector_version":"1","definition_hash":"4c4ed1afbfdaa1e4c3bf7bbb82d730cecb7e384da91eea4f3cc093fd545524d6","proposed_by":{"iss":"https://issuer.example","sub":"agent-7"},"contributors":[{"iss":"https://issuer.example","sub":"agent-7"}],"execution_policy":{"retry_count":3,"timeout_seconds":60},"expires_at_epoch":1780086400,"created_at":"2026-05-28T20:26:40.000Z","updated_at":"2026-05-28T20:26:40.000Z","trace_id":"019e704488007cd0b2cd8be6f9f620af","digest_salt":"d66508828e117bff8b32ceee02e6417d","approval_digest":"6acb8dc79fde6aaa9d64055441a211d7bc9856475be7bb074c3ef3064f575925","required_approvals":1,"policy_version":"policy-1","summary":"Create the internal note “Test note”","status":"APPROVED","approval_source":"HUMAN","approved_at":"2026-05-28T20:26:40.000Z","switch_marks":[{"scope":"global","generation":0},{"scope":"connector:internal","generation":0},{"scope":"action-type:CREATE_INTERNAL_NOTE","generation":0},{"scope":"tenant:acme","generation":0},{"scope":"tenant:acme/connector:internal","generation":0},{"scope":"tenant:acme/action-type:CREATE_INTERNAL_NOTE","generation":0}]}');
INSERT INTO "intents" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f620b4','acme','south','CREATE_INTERNAL_NOTE','internal','https://issuer.example#agent-7','APPROVED',1,'{"action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f620b4","revision":1,"version":1,"tenant_id":"acme","account_id":"south","action_type":"CREATE_INTERNAL_NOTE","parameters":{"title":"Test note","body":"As approved."},"registry_version":1,"tool_call":{"tool_name":"internal.create_note","tool_schema_version":"1","argument_bytes":"{\"body\":\"As approved.\",\"title\":\"Test note\"}"},"risk_class":"LOW","write_semantics":{"mode":"IDEMPOTENT","key_retention_seconds":86400,"absence_final_after_seconds":null,"has_lookup":false,"failure_burns_key":false},"compensation":{"strategy":"MANUAL","tool_name":null,"tool_schema_version":null,"write_semantics":null,"note":"Delete the note by hand."},"connector_id":"internal","connector_version":"1","definition_hash":"4c4ed1afbfdaa1e4c3bf7bbb82d730cecb7e384da91eea4f3cc093fd545524d6","proposed_by":{"iss":"https://issuer.example","sub":"agent-7"},"contributors":[{"iss":"https://issuer.example","sub":"agent-7"}],"execution_policy":{"retry_count":3,"timeout_seconds":60},"expires_at_epoch":1780086400,"created_at":"2026-05-28T20:26:40.000Z","updated_at":"2026-05-28T20:26:40.000Z","trace_id":"019e704488007cd0b2cd8be6f9f620b5","digest_salt":"b581cd2f5ce17008e6b3de9cb87536fb","approval_digest":"cd0258111d5243e693dbbee2e18d79c8e897ef6036fdf155dbc92fbbea48530d","required_approvals":1,"policy_version":"policy-1","summary":"Create the internal note “Test note”","status":"APPROVED","approval_source":"HUMAN","approved_at":"2026-05-28T20:26:40.000Z","switch_marks":[{"scope":"global","generation":0},{"scope":"connector:internal","generation":0},{"scope":"action-type:CREATE_INTERNAL_NOTE","generation":0},{"scope":"tenant:acme","generation":0},{"scope":"tenant:acme/connector:internal","generation":0},{"scope":"tenant:acme/action-type:CREATE_INTERNAL_NOTE","generation":0}]}');
CREATE TABLE kill_switches (
    scope TEXT NOT NULL PRIMARY KEY,
    body  TEXT NOT NULL
) STRICT;
INSERT INTO "kill_switches" VALUES('tenant:acme','{"scope":"tenant:acme","tenant_id":"acme","generation":1,"enabled":true,"reason":"Something is wrong.","set_by":"https://issuer.example#ana","set_at":"2026-05-28T20:26:40.000Z","compensation":false}');
CREATE TABLE ledger (
    position          INTEGER NOT NULL PRIMARY KEY,
    tenant_id         TEXT NOT NULL,
    account_id        TEXT NOT NULL,
    seq               INTEGER NOT NULL,
    action_intent_id  TEXT NOT NULL,
    sequence          INTEGER NOT NULL,
    run_number        INTEGER NOT NULL,
    event_type        TEXT NOT NULL,
    timestamp         TEXT NOT NULL,
    actor             TEXT NOT NULL,
    trace_id          TEXT NOT NULL,
    decision_trace_id TEXT NOT NULL,
    entry_id          TEXT NOT NULL,
    data              TEXT NOT NULL,
    salt              TEXT NOT NULL,
    data_commitment   TEXT NOT NULL,
    prev_hash         TEXT NOT NULL,
    hash              TEXT NOT NULL
) STRICT;
INSERT INTO "ledger" VALUES(1,'acme','north',1,'ai_019e7044-8800-7cd0-b2cd-8be6f9f6209c',1,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f6209d','019e704488007cd0b2cd8be6f9f6209d','019e704488007cd0b2cd8be6f9f6209e','{"attempt_count":1,"status":"RUNNING"}','603d71d409e7a54d87bdc1f70442027a','9bc1aa5c717ac9fd845b78874a40b6375ced450a53b7e2c5ddd72982bd09b4bf','0000000000000000000000000000000000000000000000000000000000000000','ffa7f26664813d7f3ea4f43f5c1292201be704fc929123ebbe276eb3a9237b4c');
INSERT INTO "ledger" VALUES(2,'acme','north',2,'ai_019e7044-8800-7cd0-b2cd-8be6f9f6209f',1,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620a0','019e704488007cd0b2cd8be6f9f620a0','019e704488007cd0b2cd8be6f9f620a1','{"attempt_count":1,"status":"RUNNING"}','f72e2140c304bdfc6a21e5e812175688','2b896f8a9560cceed1c2bae176cd26675a8624b95e3f98843d5e31a01434c71f','ffa7f26664813d7f3ea4f43f5c1292201be704fc929123ebbe276eb3a9237b4c','0ba6677727f533577a3767d610f759a398190c645bc386fa045918243877c7f0');
INSERT INTO "ledger" VALUES(3,'acme','north',3,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2',1,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620a3','019e704488007cd0b2cd8be6f9f620a3','019e704488007cd0b2cd8be6f9f620a4','{"attempt_count":1,"status":"RUNNING"}','1ece87545758de781ef34f8ff48dc719','56d0b6231c6e65ade1ced9c05c940359f18e31a3a80de4757fadff0f74c24078','0ba6677727f533577a3767d610f759a398190c645bc386fa045918243877c7f0','6cbdba0dd8ba4a7217fcf67cc2d75a5e4eea9cdda49c00add8c0498ec8dec313');
INSERT INTO "ledger" VALUES(4,'acme','north',4,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2',2,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620a3','019e704488007cd0b2cd8be6f9f620a3','019e704488007cd0b2cd8be6f9f620a6','{"attempt_count":1,"status":"RUNNING"}','48a75834c18373f70431728d06501d7a','503800fc91f848cffaadd32b42199258d7c3a8863d75595be194725c26e8d7ee','6cbdba0dd8ba4a7217fcf67cc2d75a5e4eea9cdda49c00add8c0498ec8dec313','713da986fa540005a5091062cfc379cac9d7bade4452bafa4252448d25c32a8c');
INSERT INTO "ledger" VALUES(5,'acme','north',5,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2',3,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620a3','019e704488007cd0b2cd8be6f9f620a3','019e704488007cd0b2cd8be6f9f620a7','{"attempt_count":1,"status":"RUNNING"}','c39faf42028ef10fba4d16cee68320eb','49a74bd04b0dd9b48873aafce94ebac532ad3d39f75c0a967561d410195e70ca','713da986fa540005a5091062cfc379cac9d7bade4452bafa4252448d25c32a8c','432a9443e315884a4523a055acfa8672ec116e107bf7becf80466099911c8afa');
INSERT INTO "ledger" VALUES(6,'acme','south',1,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620a8',1,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620a9','019e704488007cd0b2cd8be6f9f620a9','019e704488007cd0b2cd8be6f9f620aa','{"attempt_count":1,"status":"RUNNING"}','9d49a59c7f1e5b7e7af4fbd32a371bde','e31099997ed52adcae3891382a3b8ab3e9e3357e5f1916affb54036a3e98946c','0000000000000000000000000000000000000000000000000000000000000000','976953a55367a56c6e82b820f79da87bccbba386733bc51b91886788ad1df078');
INSERT INTO "ledger" VALUES(7,'acme','south',2,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620a8',2,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620a9','019e704488007cd0b2cd8be6f9f620a9','019e704488007cd0b2cd8be6f9f620ac','{"attempt_count":1,"status":"RUNNING"}','ccbc1f10ccc5e9304fc1c1ea4f624891','7fe3ba56266dae47a8de1c18e1ab8be14101d73b15c68ef328a64359d60f8206','976953a55367a56c6e82b820f79da87bccbba386733bc51b91886788ad1df078','407822fc5722f056b87bbc4ed969184643de36828d1c6670be2d2113742d858b');
INSERT INTO "ledger" VALUES(8,'acme','south',3,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620a8',3,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620a9','019e704488007cd0b2cd8be6f9f620a9','019e704488007cd0b2cd8be6f9f620ad','{"attempt_count":1,"status":"RUNNING"}','d2b7b0f733837a247d2b9dcdc163018b','02d4895c7675c8f174d7237b77a1f842ad6476c35341bd78425f9e0924a92d4d','407822fc5722f056b87bbc4ed969184643de36828d1c6670be2d2113742d858b','eb85d90b3ccde7a2348c039c54d4f57fb753c5e68d88b6bce52b0872b09c54f0');
INSERT INTO "ledger" VALUES(9,'acme','south',4,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620ae',1,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620af','019e704488007cd0b2cd8be6f9f620af','019e704488007cd0b2cd8be6f9f620b0','{"attempt_count":1,"status":"RUNNING"}','03eb844a7d35e1b44998f31f6a16258c','c2d05b4e2bf84d5bfe955ee1f1d95eb258743b696968159e87cccfd42fe9ce2f','eb85d90b3ccde7a2348c039c54d4f57fb753c5e68d88b6bce52b0872b09c54f0','888c5f8b66a66ccf8efa3213a0e1d4c278dac68fd6bf598144d61e88119c19c2');
INSERT INTO "ledger" VALUES(10,'acme','south',5,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620ae',2,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620af','019e704488007cd0b2cd8be6f9f620af','019e704488007cd0b2cd8be6f9f620b2','{"attempt_count":1,"status":"RUNNING"}','4741a7cc925f6a9aa745178c77126e96','356623b015b8ffcc09c1051f4e54630667c9f577571bae30ae3335e40f4e3f21','888c5f8b66a66ccf8efa3213a0e1d4c278dac68fd6bf598144d61e88119c19c2','3cb693365b21a744574e77d636ba8bd89995c75acd4fb8fa0db5c9cf508d9afa');
INSERT INTO "ledger" VALUES(11,'acme','south',6,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620ae',3,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620af','019e704488007cd0b2cd8be6f9f620af','019e704488007cd0b2cd8be6f9f620b3','{"attempt_count":1,"status":"RUNNING"}','6d41a698217845cca5e188627cfb2951','627f505975dd67fc84a5197d23d05a92aaf2d1e2f1a311cd8f13eccd45c0e324','3cb693365b21a744574e77d636ba8bd89995c75acd4fb8fa0db5c9cf508d9afa','8e640e6b4e2a82f5cf90df98949f71d9ce0db291bfb69ba30c1dd2ce9a7ec13c');
INSERT INTO "ledger" VALUES(12,'acme','south',7,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620b4',1,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620b5','019e704488007cd0b2cd8be6f9f620b5','019e704488007cd0b2cd8be6f9f620b6','{"attempt_count":1,"status":"RUNNING"}','3d92af11a0bafe167adac0adb854f2c1','9488ef87e5c01b5177343f84a9d4a98dbec00abf76d1c0abb42e23f930512fd5','8e640e6b4e2a82f5cf90df98949f71d9ce0db291bfb69ba30c1dd2ce9a7ec13c','229ed003da77aefe3d9e7629be6726b153fb1e1fcd8d6a5668062abdd84ac2c8');
INSERT INTO "ledger" VALUES(13,'acme','south',8,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620b4',2,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620b5','019e704488007cd0b2cd8be6f9f620b5','019e704488007cd0b2cd8be6f9f620b8','{"attempt_count":1,"status":"RUNNING"}','58278b1476aceee5a8d106b37b214fec','bed69dc47f2f061b1735e7a38fdcd6da6a86516214386194bfc5ebc76129ad14','229ed003da77aefe3d9e7629be6726b153fb1e1fcd8d6a5668062abdd84ac2c8','29dda81417a4626f58d3f2ba4421d67b37b67bea8d917e82ee774317600adc08');
INSERT INTO "ledger" VALUES(14,'acme','south',9,'ai_019e7044-8800-7cd0-b2cd-8be6f9f620b4',3,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620b5','019e704488007cd0b2cd8be6f9f620b5','019e704488007cd0b2cd8be6f9f620b9','{"attempt_count":1,"status":"RUNNING"}','42fa2b64fd557ed6f1738db4507a4a86','79a1a0ccd9761afa0d24f70fd68c5b2a6fe42239b7f5f75bedb1bb5bbceaa293','29dda81417a4626f58d3f2ba4421d67b37b67bea8d917e82ee774317600adc08','a2e05b9bd99e4d0a7146143ee958060b0a388b9f37223698f7814e0652e09553');
INSERT INTO "ledger" VALUES(15,'acme','_tenant',1,'',0,0,'TOOL_INVOKED','2026-05-28T20:26:40.000Z','enactor','019e704488007cd0b2cd8be6f9f620bb','','019e704488007cd0b2cd8be6f9f620ba','{"attempt_count":1,"status":"RUNNING"}','6fd7493c93e977d9846e1737064621e5','7522ff256cd4548a335f29bcdbd4cf34ede4271927d1514ed63efff7f461261e','0000000000000000000000000000000000000000000000000000000000000000','c400a602d35e8cc9f4e8167b40778af45c983ed3be4ff2937f5c21283d491ae2');
CREATE TABLE ledger_of_chains (
    tenant_id  TEXT NOT NULL,
    account_id TEXT NOT NULL,
    position   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, account_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE log_checkpoints (
    tenant_id TEXT NOT NULL,
    size      INTEGER NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, size)
) STRICT;
CREATE TABLE log_heads (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    size      INTEGER NOT NULL,
    root      TEXT NOT NULL,
    position  INTEGER NOT NULL
) STRICT;
CREATE TABLE log_keys (
    tenant_id  TEXT NOT NULL,
    key        TEXT NOT NULL,
    valid_from TEXT NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT;
CREATE TABLE log_leaves (
    entry_id   TEXT NOT NULL,
    tenant_id  TEXT NOT NULL,
    leaf_index INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    PRIMARY KEY (entry_id, tenant_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE log_tiles (
    tenant_id TEXT NOT NULL,
    level     INTEGER NOT NULL,
    tile      INTEGER NOT NULL,
    hashes    BLOB NOT NULL,
    PRIMARY KEY (tenant_id, level, tile)
) STRICT;
CREATE TABLE objects (
    tenant_id    TEXT NOT NULL,
    object_id    TEXT NOT NULL,
    account_id   TEXT NOT NULL,
    object_type  TEXT NOT NULL,
    creation_key TEXT NOT NULL,
    created_at   TEXT NOT NULL,
    deleted      INTEGER NOT NULL,
    body         TEXT NOT NULL,
    PRIMARY KEY (tenant_id, object_id)
) STRICT;
INSERT INTO "objects" VALUES('acme','note_key-1','north','note','key-1','2026-05-28T20:26:40.000Z',0,'{"object_id":"note_key-1","tenant_id":"acme","account_id":"north","object_type":"note","creation_key":"key-1","version":1,"created_at":"2026-05-28T20:26:40.000Z","body":{"title":"Test note"}}');
CREATE TABLE policies (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    version   INTEGER NOT NULL,
    body      TEXT NOT NULL
) STRICT;
INSERT INTO "policies" VALUES('acme',1,'{"tenant_id":"acme","version":1,"text":"","mode":"ENFORCE","set_by":"https://issuer.example#ana","set_at":"2026-05-28T20:26:40.000Z"}');
CREATE TABLE requests (
    tenant_id TEXT NOT NULL,
    principal TEXT NOT NULL,
    key       TEXT NOT NULL,
    body      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, principal, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "requests" VALUES('acme','https://issuer.example#agent-7','order-1','{"tenant_id":"acme","principal":"https://issuer.example#agent-7","key":"order-1","body_hash":"230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5","action_intent_id":"ai_019e7044-8800-7cd0-b2cd-8be6f9f6209c","created_at":"2026-05-28T20:26:40.000Z"}');
CREATE TABLE strides (
    position INTEGER NOT NULL,
    number   INTEGER NOT NULL
) STRICT;
INSERT INTO "strides" VALUES(0,0);
CREATE TABLE traces (
    trace_id         TEXT NOT NULL,
    action_intent_id TEXT NOT NULL,
    PRIMARY KEY (trace_id, action_intent_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE undelivered (
    consumer TEXT NOT NULL,
    dead     INTEGER NOT NULL,
    position INTEGER NOT NULL,
    body     TEXT NOT NULL,
    PRIMARY KEY (consumer, dead, position)
) STRICT;
INSERT INTO "undelivered" VALUES('webhooks',0,3,'{"consumer":"webhooks","position":3,"entry_id":"019e704488007cd0b2cd8be6f9f620bc","tenant_id":"acme","attempts":1,"retry_at":1780000005000,"failed_at":"2026-05-28T20:26:40.000Z","error":"The receiver answered 503.","dead":false}');
CREATE TABLE unfinished (
    action_intent_id TEXT NOT NULL PRIMARY KEY,
    tenant_id        TEXT NOT NULL,
    account_id       TEXT NOT NULL,
    action_type      TEXT NOT NULL,
    connector_id     TEXT NOT NULL,
    proposed_by      TEXT NOT NULL,
    status           TEXT NOT NULL,
    shadow           INTEGER NOT NULL,
    expires_at_epoch INTEGER NOT NULL,
    revision         INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    approval_digest  TEXT NOT NULL,
    effect_key       TEXT,
    entries          TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "unfinished" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f6209c','acme','north','CREATE_INTERNAL_NOTE','internal','https://issuer.example#agent-7','PENDING_APPROVAL',0,1780086400,1,1,'f05c56b975a066f442bfb7638d4ac7fbaba3ea4ed3e6df9eb779624dfdc20145','refund:1','[1]');
INSERT INTO "unfinished" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f6209f','acme','north','CREATE_INTERNAL_NOTE','internal','https://issuer.example#agent-7','PENDING',0,1780086400,1,1,'6b753a0debc4cffdd7ed4a0c878b1506ebaef81f5055b229ab0fb2688deb90fa',NULL,'[2]');
INSERT INTO "unfinished" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f620a2','acme','north','CREATE_INTERNAL_NOTE','internal','https://issuer.example#agent-7','PENDING',0,1780086400,1,1,'81c2356253e82d120fbc1a52905684c949a9b888178939d70f4d1bf5e322799c',NULL,'[3]');
INSERT INTO "unfinished" VALUES('ai_019e7044-8800-7cd0-b2cd-8be6f9f620b4','acme','south','CREATE_INTERNAL_NOTE','internal','https://issuer.example#agent-7','PENDING',0,1780086400,1,1,'cd0258111d5243e693dbbee2e18d79c8e897ef6036fdf155dbc92fbbea48530d',NULL,'[12]');
CREATE INDEX intents_by_tenant ON intents (tenant_id, action_intent_id, account_id, action_type, proposed_by);
CREATE INDEX intents_closed ON intents (tenant_id, status, action_intent_id)
    WHERE status <> 'PENDING_APPROVAL' AND status <> 'APPROVED';
CREATE INDEX executions_ended ON executions (tenant_id, updated_at)
    WHERE status <> '' AND status <> 'RUNNING' AND status <> 'IN_DOUBT';
CREATE INDEX executions_without_effect ON executions (tenant_id, status, action_intent_id)
    WHERE status <> '' AND status <> 'RUNNING' AND status <> 'SUCCEEDED' AND status <> 'IN_DOUBT';
CREATE INDEX ledger_without_intent ON ledger (trace_id, decision_trace_id) WHERE action_intent_id = '';
CREATE UNIQUE INDEX objects_by_creation_key ON objects (tenant_id, creation_key);
CREATE INDEX objects_by_age ON objects (tenant_id, object_type, created_at, object_id) WHERE deleted = 0;
COMMIT;
