PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY, applied BIGINT NOT NULL);
INSERT INTO schema_version VALUES(1,1796013194357663869);
INSERT INTO schema_version VALUES(2,1796013194359740164);
INSERT INTO schema_version VALUES(3,1796013194360088984);
CREATE TABLE resources (
  key TEXT COLLATE BINARY NOT NULL PRIMARY KEY,
  subscription TEXT COLLATE BINARY NOT NULL,
  grp TEXT COLLATE BINARY NOT NULL,
  kind TEXT COLLATE BINARY NOT NULL,
  name TEXT NOT NULL,
  id TEXT NOT NULL,
  revision BIGINT NOT NULL,
  created BIGINT NOT NULL,
  changed BIGINT NOT NULL,
  body TEXT NOT NULL,
  hidden TEXT NOT NULL
);
INSERT INTO resources VALUES('/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/rg','a0c6cbf7-b176-4807-a250-75c1998db5dd','rg','microsoft.resources/resourcegroups','rg','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg',1,1796013196245557101,1796013196245557101,'{"location":"westus2","properties":{"provisioningState":"Succeeded"}}','{}');
INSERT INTO resources VALUES('/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/rg/providers/microsoft.managedidentity/userassignedidentities/forge','a0c6cbf7-b176-4807-a250-75c1998db5dd','rg','microsoft.managedidentity/userassignedidentities','forge','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/forge',1,1796013196293306451,1796013196293306451,'{"location":"westus2","properties":{"clientId":"1af2a30e-3a06-4eb8-ac09-c3a8d3fe9cb3","principalId":"e557c471-5970-4fe2-a19d-1f81d4085432","tenantId":"96c4e8f3-304b-4170-9f64-456c2e57ef31"},"tags":{}}','{}');
INSERT INTO resources VALUES('/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/rg/providers/microsoft.virtualmachineimages/imagetemplates/done','a0c6cbf7-b176-4807-a250-75c1998db5dd','rg','microsoft.virtualmachineimages/imagetemplates','done','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.VirtualMachineImages/imageTemplates/done',5,1796013196324585620,1796013199587461461,'{"identity":{"type":"UserAssigned","userAssignedIdentities":{"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/forge":{"clientId":"1af2a30e-3a06-4eb8-ac09-c3a8d3fe9cb3","principalId":"e557c471-5970-4fe2-a19d-1f81d4085432"}}},"location":"westus2","properties":{"buildTimeoutInMinutes":0,"customize":[{"inline":["echo hello"],"type":"Shell"}],"distribute":[{"artifactTags":{},"imageId":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.Compute/images/done","location":"westus2","runOutputName":"out","type":"ManagedImage"}],"exactStagingResourceGroup":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/IT_rg_done_01a22aba-8424-7490-ae19-fa18562d4d54","lastRunStatus":{"endTime":"0001-01-01T00:00:00Z","message":"","runState":"Running","runSubState":"Building","startTime":"2026-11-30T04:33:19.486920764Z"},"provisioningState":"Succeeded","source":{"exactVersion":"12","offer":"debian-12","publisher":"Debian","sku":"12-gen2","type":"PlatformImage","version":"latest"},"stagingResourceGroup":""},"tags":{}}','{"apiVersion":"2024-02-01","generation":2,"staging":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/IT_rg_done_01a22aba-8424-7490-ae19-fa18562d4d54","stagingAccount":"st284eabea15db6a735f1632","stagingOwned":true}');
INSERT INTO resources VALUES('/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/it_rg_done_01a22aba-8424-7490-ae19-fa18562d4d54','a0c6cbf7-b176-4807-a250-75c1998db5dd','it_rg_done_01a22aba-8424-7490-ae19-fa18562d4d54','microsoft.resources/resourcegroups','IT_rg_done_01a22aba-8424-7490-ae19-fa18562d4d54','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/IT_rg_done_01a22aba-8424-7490-ae19-fa18562d4d54',1,1796013196338633131,1796013196338633131,'{"location":"westus2","properties":{"provisioningState":"Succeeded"},"tags":{"createdBy":"AzureVMImageBuilder","imageTemplateName":"done","imageTemplateResourceGroupName":"rg"}}','{}');
INSERT INTO resources VALUES('/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/it_rg_done_01a22aba-8424-7490-ae19-fa18562d4d54/providers/microsoft.storage/storageaccounts/st284eabea15db6a735f1632','a0c6cbf7-b176-4807-a250-75c1998db5dd','it_rg_done_01a22aba-8424-7490-ae19-fa18562d4d54','microsoft.storage/storageaccounts','st284eabea15db6a735f1632','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/IT_rg_done_01a22aba-8424-7490-ae19-fa18562d4d54/providers/Microsoft.Storage/storageAccounts/st284eabea15db6a735f1632',1,1796013196338713110,1796013196338713110,'{"kind":"StorageV2","location":"westus2","properties":{"accessTier":"Hot","allowBlobPublicAccess":false,"creationTime":"2026-11-30T04:33:16.338664568Z","minimumTlsVersion":"TLS1_2","provisioningState":"Succeeded","supportsHttpsTrafficOnly":true},"sku":{"name":"Standard_LRS","tier":"Standard"},"tags":{"createdBy":"AzureVMImageBuilder","imageTemplateName":"done","imageTemplateResourceGroupName":"rg"}}','{"keys":["EcnziUO5Tcbinp04sqwoTZmYebFO2BRhOv6sMSOyh8HIWiOEKpTqqgz5IPlE9VkfP5xLLqG0b2Hrg/uUSQeX1g==","0yMPm3qbXwF+PXeDcGZAKbFb6514DpSnN8pUKAlhTDuycl7Ro+FqUdLV838kXi2li/Zoq1pdx9Y+WXrGGT+zcw=="],"stagingOf":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.VirtualMachineImages/imageTemplates/done"}');
INSERT INTO resources VALUES('/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/rg/providers/microsoft.virtualmachineimages/imagetemplates/held','a0c6cbf7-b176-4807-a250-75c1998db5dd','rg','microsoft.virtualmachineimages/imagetemplates','held','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.VirtualMachineImages/imageTemplates/held',3,1796013196378129028,1796013324542481472,'{"identity":{"type":"UserAssigned","userAssignedIdentities":{"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/forge":{"clientId":"1af2a30e-3a06-4eb8-ac09-c3a8d3fe9cb3","principalId":"e557c471-5970-4fe2-a19d-1f81d4085432"}}},"location":"westus2","properties":{"buildTimeoutInMinutes":0,"customize":[{"inline":["sleep forever"],"type":"Shell"}],"distribute":[{"artifactTags":{},"imageId":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.Compute/images/held","location":"westus2","runOutputName":"out","type":"ManagedImage"}],"exactStagingResourceGroup":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/IT_rg_held_01a22aba-845a-7527-9557-d91f9f446d18","lastRunStatus":{"endTime":"0001-01-01T00:00:00Z","message":"","runState":"Running","runSubState":"Queued","startTime":"2026-11-30T04:35:24.542420801Z"},"provisioningState":"Succeeded","source":{"exactVersion":"12","offer":"debian-12","publisher":"Debian","sku":"12-gen2","type":"PlatformImage","version":"latest"},"stagingResourceGroup":""},"tags":{}}','{"apiVersion":"2024-02-01","generation":2,"staging":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/IT_rg_held_01a22aba-845a-7527-9557-d91f9f446d18","stagingAccount":"st8f5577f900dfe19ccaffdc","stagingOwned":true}');
INSERT INTO resources VALUES('/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/it_rg_held_01a22aba-845a-7527-9557-d91f9f446d18','a0c6cbf7-b176-4807-a250-75c1998db5dd','it_rg_held_01a22aba-845a-7527-9557-d91f9f446d18','microsoft.resources/resourcegroups','IT_rg_held_01a22aba-845a-7527-9557-d91f9f446d18','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/IT_rg_held_01a22aba-845a-7527-9557-d91f9f446d18',1,1796013196410983945,1796013196410983945,'{"location":"westus2","properties":{"provisioningState":"Succeeded"},"tags":{"createdBy":"AzureVMImageBuilder","imageTemplateName":"held","imageTemplateResourceGroupName":"rg"}}','{}');
INSERT INTO resources VALUES('/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/it_rg_held_01a22aba-845a-7527-9557-d91f9f446d18/providers/microsoft.storage/storageaccounts/st8f5577f900dfe19ccaffdc','a0c6cbf7-b176-4807-a250-75c1998db5dd','it_rg_held_01a22aba-845a-7527-9557-d91f9f446d18','microsoft.storage/storageaccounts','st8f5577f900dfe19ccaffdc','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/IT_rg_held_01a22aba-845a-7527-9557-d91f9f446d18/providers/Microsoft.Storage/storageAccounts/st8f5577f900dfe19ccaffdc',1,1796013196411081931,1796013196411081931,'{"kind":"StorageV2","location":"westus2","properties":{"accessTier":"Hot","allowBlobPublicAccess":false,"creationTime":"2026-11-30T04:33:16.411025247Z","minimumTlsVersion":"TLS1_2","provisioningState":"Succeeded","supportsHttpsTrafficOnly":true},"sku":{"name":"Standard_LRS","tier":"Standard"},"tags":{"createdBy":"AzureVMImageBuilder","imageTemplateName":"held","imageTemplateResourceGroupName":"rg"}}','{"keys":["/acf+aOvajoyswpBgITn3u0NDkDV2P2W2YpBbqt9F8soLHEUNxTN3b3nEaZtjzg5EajfYUZdgrc4ahlJULYOrg==","5MDst/OJ2hrJH8jrz83LUofMw7I/KZyA7kDndApXwJvaH78cUz1M0DIHa7IU3HJspWVoLBTrQ50WyWq8/XmQCg=="],"stagingOf":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.VirtualMachineImages/imageTemplates/held"}');
CREATE TABLE operations (
  id TEXT COLLATE BINARY NOT NULL PRIMARY KEY,
  subscription TEXT COLLATE BINARY NOT NULL,
  kind TEXT NOT NULL,
  target TEXT COLLATE BINARY NOT NULL,
  status TEXT NOT NULL,
  error TEXT,
  started BIGINT NOT NULL,
  ended BIGINT
);
INSERT INTO operations VALUES('01a22aba-8424-7490-ae19-fa19f5c978c3','a0c6cbf7-b176-4807-a250-75c1998db5dd','putTemplate','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/rg/providers/microsoft.virtualmachineimages/imagetemplates/done','Succeeded',NULL,1796013196324623366,1796013196339141959);
INSERT INTO operations VALUES('01a22aba-845a-7527-9557-d920ba153d34','a0c6cbf7-b176-4807-a250-75c1998db5dd','putTemplate','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/rg/providers/microsoft.virtualmachineimages/imagetemplates/held','Succeeded',NULL,1796013196378173945,1796013196411595797);
INSERT INTO operations VALUES('01a22aba-907e-7571-a1c3-3dc3cb4971a2','a0c6cbf7-b176-4807-a250-75c1998db5dd','run','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/rg/providers/microsoft.virtualmachineimages/imagetemplates/done','InProgress',NULL,1796013199486902677,NULL);
INSERT INTO operations VALUES('01a22abc-78fe-748b-a1eb-416ade61c53b','a0c6cbf7-b176-4807-a250-75c1998db5dd','run','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/rg/providers/microsoft.virtualmachineimages/imagetemplates/held','InProgress',NULL,1796013324542397897,NULL);
CREATE TABLE runs (
  id TEXT COLLATE BINARY NOT NULL PRIMARY KEY,
  template TEXT COLLATE BINARY NOT NULL,
  subscription TEXT COLLATE BINARY NOT NULL,
  operation TEXT COLLATE BINARY NOT NULL,
  state TEXT NOT NULL,
  sub_state TEXT NOT NULL,
  message TEXT NOT NULL,
  queued BIGINT NOT NULL,
  ended BIGINT,
  epoch BIGINT NOT NULL,
  vcpus BIGINT NOT NULL,
  memory_mib BIGINT NOT NULL,
  input TEXT NOT NULL
, cause TEXT NOT NULL DEFAULT '{"kind":"manual"}', optimization TEXT);
INSERT INTO runs VALUES('01a22aba-907e-7571-a1c3-3dc404b42370','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/rg/providers/microsoft.virtualmachineimages/imagetemplates/done','a0c6cbf7-b176-4807-a250-75c1998db5dd','01a22aba-907e-7571-a1c3-3dc3cb4971a2','Running','Building','',1796013199486920764,NULL,1,2,8192,'{"apiVersion":"2024-02-01","identity":{"type":"UserAssigned","userAssignedIdentities":{"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/forge":{"clientId":"1af2a30e-3a06-4eb8-ac09-c3a8d3fe9cb3","principalId":"e557c471-5970-4fe2-a19d-1f81d4085432"}}},"location":"westus2","properties":{"buildTimeoutInMinutes":0,"customize":[{"inline":["echo hello"],"type":"Shell"}],"distribute":[{"artifactTags":{},"imageId":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.Compute/images/done","location":"westus2","runOutputName":"out","type":"ManagedImage"}],"exactStagingResourceGroup":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/IT_rg_done_01a22aba-8424-7490-ae19-fa18562d4d54","provisioningState":"Succeeded","source":{"exactVersion":"12","offer":"debian-12","publisher":"Debian","sku":"12-gen2","type":"PlatformImage","version":"latest"},"stagingResourceGroup":""},"tags":{}}','{"kind":"manual"}',NULL);
INSERT INTO runs VALUES('01a22abc-78fe-748b-a1eb-416b16c7cfd4','/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourcegroups/rg/providers/microsoft.virtualmachineimages/imagetemplates/held','a0c6cbf7-b176-4807-a250-75c1998db5dd','01a22abc-78fe-748b-a1eb-416ade61c53b','Queued','Queued','',1796013324542420801,NULL,0,2,8192,'{"apiVersion":"2024-02-01","identity":{"type":"UserAssigned","userAssignedIdentities":{"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/forge":{"clientId":"1af2a30e-3a06-4eb8-ac09-c3a8d3fe9cb3","principalId":"e557c471-5970-4fe2-a19d-1f81d4085432"}}},"location":"westus2","properties":{"buildTimeoutInMinutes":0,"customize":[{"inline":["sleep forever"],"type":"Shell"}],"distribute":[{"artifactTags":{},"imageId":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/rg/providers/Microsoft.Compute/images/held","location":"westus2","runOutputName":"out","type":"ManagedImage"}],"exactStagingResourceGroup":"/subscriptions/a0c6cbf7-b176-4807-a250-75c1998db5dd/resourceGroups/IT_rg_held_01a22aba-845a-7527-9557-d91f9f446d18","provisioningState":"Succeeded","source":{"exactVersion":"12","offer":"debian-12","publisher":"Debian","sku":"12-gen2","type":"PlatformImage","version":"latest"},"stagingResourceGroup":""},"tags":{}}','{"kind":"manual"}',NULL);
CREATE TABLE clients (
  client_id TEXT COLLATE BINARY NOT NULL PRIMARY KEY,
  object_id TEXT COLLATE BINARY NOT NULL,
  name TEXT NOT NULL,
  secret_hash TEXT NOT NULL,
  created BIGINT NOT NULL,
  rotated BIGINT NOT NULL,
  revoked BIGINT
);
INSERT INTO clients VALUES('78af6a8c-d3d6-4a05-8e5a-45d027109195','b0c22474-a317-4098-b46f-a2623488a8aa','administrator','sha256:UWPuIy4cEV_sPF1DBIGLvA:j8k29NeNWm9Q3thhE-OStnaii_F_4pLWJ9iBStQQhTA',1796013194370443340,1796013194370443340,NULL);
CREATE INDEX resources_by_subscription ON resources (subscription, key);
CREATE INDEX resources_by_kind ON resources (subscription, kind, key);
CREATE INDEX resources_by_group ON resources (subscription, grp, key);
CREATE INDEX resources_by_group_and_kind ON resources (subscription, grp, kind, key);
CREATE INDEX operations_unfinished ON operations (started, id) WHERE ended IS NULL;
CREATE INDEX operations_by_end ON operations (ended);
CREATE UNIQUE INDEX runs_active ON runs (template) WHERE ended IS NULL;
CREATE INDEX runs_unfinished ON runs (queued, id) WHERE ended IS NULL;
CREATE INDEX runs_by_template ON runs (template, queued, id);
COMMIT;
