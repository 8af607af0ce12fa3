-- A ledger as version 0.1.0 wrote it: one release, one refusal, one open request.
CREATE TABLE entries (
	seq INTEGER NOT NULL,
	release_id VARCHAR(16) NOT NULL,
	at BIGINT NOT NULL,
	event TEXT NOT NULL,
	changes TEXT NOT NULL,
	previous VARCHAR(64) NOT NULL,
	hash VARCHAR(64) NOT NULL,
	PRIMARY KEY (seq)
);
INSERT INTO "entries" VALUES(1,'R-2345-6789',1795000000000,'asked','{"app_id":"arcgisprodesktop","approver":null,"ask_reason":"laptop stolen","client":"claude-code 2.1","created_at":1795000000000,"decided_at":null,"detail":"","email":"mlopez@example.com","expires_at":1795003600000,"finished_at":null,"full_name":"Maria Lopez","last_login":1795000000000,"lease_until":null,"license":"offline","notice":"","portal":"https://gis.example.com/portal","portal_name":"GIS","portal_version":"11.5","read_at":1795000000000,"reason":"waiting","release_id":"R-2345-6789","requester":"ana@desk","route":null,"sent_at":null,"state":"open","ticket":"INC-1","username":"mlopez","verified":false}','0000000000000000000000000000000000000000000000000000000000000000','7c13c2f1126f311f8d4e0a19dfac44983966b49b42d3a35bf0f91ea29136b113');
INSERT INTO "entries" VALUES(2,'R-2345-6789',1795000000000,'approved','{"approver":"ana@desk","decided_at":1795000000000,"route":"form","state":"approved"}','7c13c2f1126f311f8d4e0a19dfac44983966b49b42d3a35bf0f91ea29136b113','e3c0b6117718747ef34dceb66fa8906514d07bec643cdbd3762bb5d61b43386c');
INSERT INTO "entries" VALUES(3,'R-2345-6789',1795000000000,'sending','{"lease_until":1795000120000,"sent_at":1795000000000,"state":"sending"}','e3c0b6117718747ef34dceb66fa8906514d07bec643cdbd3762bb5d61b43386c','ecbed0fbe87e0e80fe0e969377563d2de867ba1b9a4ce741b30a92ceb61bf7db');
INSERT INTO "entries" VALUES(4,'R-2345-6789',1795000000000,'released','{"detail":"","finished_at":1795000000000,"reason":"confirmed","state":"released","verified":true}','ecbed0fbe87e0e80fe0e969377563d2de867ba1b9a4ce741b30a92ceb61bf7db','f74d0f8162e79bfd20ae1ee46f521fb6d6ceeca2fbcebd1705dfddeb4681401f');
INSERT INTO "entries" VALUES(5,'R-ABCD-EFGH',1795000061000,'asked','{"app_id":"arcgisprodesktop","approver":null,"ask_reason":"laptop broken","client":"","created_at":1795000061000,"decided_at":null,"detail":"","email":"mlopez@example.com","expires_at":1795003661000,"finished_at":null,"full_name":"Maria Lopez","last_login":1795000000000,"lease_until":null,"license":"offline","notice":"","portal":"https://gis.example.com/portal","portal_name":"GIS","portal_version":"11.5","read_at":1795000061000,"reason":"waiting","release_id":"R-ABCD-EFGH","requester":"ana@desk","route":null,"sent_at":null,"state":"open","ticket":"","username":"other","verified":false}','f74d0f8162e79bfd20ae1ee46f521fb6d6ceeca2fbcebd1705dfddeb4681401f','7b03d7ba1e9b6d5dadb339f2424b0059a8b17643aced781bb1edc1528bfd2094');
INSERT INTO "entries" VALUES(6,'R-ABCD-EFGH',1795000061000,'declined','{"approver":"ben@desk","decided_at":1795000061000,"finished_at":1795000061000,"reason":"declined","route":"page","state":"not_released"}','7b03d7ba1e9b6d5dadb339f2424b0059a8b17643aced781bb1edc1528bfd2094','c76661e0e7eeb723f6b3abb96ad1d9e0e83670afd8d52e64dbc22a8deecac140');
INSERT INTO "entries" VALUES(7,'R-JKMN-PQRS',1795000122000,'asked','{"app_id":"arcgisprodesktop","approver":null,"ask_reason":"laptop lost","client":"","created_at":1795000122000,"decided_at":null,"detail":"","email":"mlopez@example.com","expires_at":1795003722000,"finished_at":null,"full_name":"Maria Lopez","last_login":1795000000000,"lease_until":null,"license":"offline","notice":"","portal":"https://gis.example.com/portal","portal_name":"GIS","portal_version":"11.5","read_at":1795000122000,"reason":"waiting","release_id":"R-JKMN-PQRS","requester":"ana@desk","route":null,"sent_at":null,"state":"open","ticket":"","username":"third","verified":false}','c76661e0e7eeb723f6b3abb96ad1d9e0e83670afd8d52e64dbc22a8deecac140','dd14a6b57023b1d35e0a474eca83c22070d2e870f4aa8112b39132078b9dbb73');
CREATE TABLE requests (
	release_id VARCHAR(16) NOT NULL,
	created_at BIGINT NOT NULL,
	portal TEXT NOT NULL,
	portal_name TEXT NOT NULL,
	portal_version TEXT NOT NULL,
	username TEXT NOT NULL,
	full_name TEXT NOT NULL,
	email TEXT NOT NULL,
	app_id TEXT NOT NULL,
	license TEXT NOT NULL,
	last_login BIGINT,
	read_at BIGINT,
	requester TEXT NOT NULL,
	client TEXT NOT NULL,
	ask_reason TEXT NOT NULL,
	ticket TEXT NOT NULL,
	notice TEXT NOT NULL,
	expires_at BIGINT NOT NULL,
	state TEXT NOT NULL,
	reason TEXT NOT NULL,
	detail TEXT NOT NULL,
	route TEXT,
	approver TEXT,
	decided_at BIGINT,
	sent_at BIGINT,
	lease_until BIGINT,
	verified BOOLEAN NOT NULL,
	finished_at BIGINT,
	PRIMARY KEY (release_id)
);
INSERT INTO "requests" VALUES('R-2345-6789',1795000000000,'https://gis.example.com/portal','GIS','11.5','mlopez','Maria Lopez','mlopez@example.com','arcgisprodesktop','offline',1795000000000,1795000000000,'ana@desk','claude-code 2.1','laptop stolen','INC-1','',1795003600000,'released','confirmed','','form','ana@desk',1795000000000,1795000000000,1795000120000,1,1795000000000);
INSERT INTO "requests" VALUES('R-ABCD-EFGH',1795000061000,'https://gis.example.com/portal','GIS','11.5','other','Maria Lopez','mlopez@example.com','arcgisprodesktop','offline',1795000000000,1795000061000,'ana@desk','','laptop broken','','',1795003661000,'not_released','declined','','page','ben@desk',1795000061000,NULL,NULL,0,1795000061000);
INSERT INTO "requests" VALUES('R-JKMN-PQRS',1795000122000,'https://gis.example.com/portal','GIS','11.5','third','Maria Lopez','mlopez@example.com','arcgisprodesktop','offline',1795000000000,1795000122000,'ana@desk','','laptop lost','','',1795003722000,'open','waiting','',NULL,NULL,NULL,NULL,NULL,0,NULL);
CREATE INDEX requests_by_state ON requests (state, expires_at);
CREATE INDEX requests_by_member ON requests (portal, username, app_id);
CREATE INDEX requests_by_sending ON requests (portal, sent_at);
CREATE INDEX entries_by_request ON entries (release_id);
PRAGMA user_version = 1;
