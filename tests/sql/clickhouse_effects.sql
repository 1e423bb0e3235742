-- Statements that do more than read, or read what nobody may, one a line: all must be refused.
INSERT INTO canary.kw VALUES (1,1)
INSERT INTO TABLE FUNCTION file('/tmp/x.csv','CSV','a UInt8') SELECT 1
INSERT INTO FUNCTION url('http://127.0.0.1:9/','CSV','a UInt8') SELECT 1
INSERT INTO FUNCTION remote('127.0.0.1:9',canary.kw) SELECT 1,1
INSERT INTO canary.kw FORMAT Values (1,1)
WITH x AS (SELECT 1) INSERT INTO canary.kw SELECT 1,1
EXPLAIN INSERT INTO FUNCTION url('http://127.0.0.1:9/','CSV','a UInt8') SELECT 1
ALTER TABLE canary.events UPDATE v=1 WHERE 1
ALTER TABLE canary.events ADD COLUMN x UInt8
ALTER TABLE canary.events FREEZE
ALTER TABLE canary.events FETCH PARTITION 'x' FROM '/x'
ALTER TABLE canary.events MODIFY TTL ts + INTERVAL 1 DAY
UPDATE canary.events SET v=1 WHERE id=1
DELETE FROM canary.events WHERE id=1
TRUNCATE TABLE canary.events
TRUNCATE ALL TABLES FROM canary
DROP TABLE IF EXISTS canary.events SYNC
DROP VIEW canary.events
DROP FUNCTION x
DROP USER default
DETACH TABLE canary.events PERMANENTLY
ATTACH TABLE canary.events
RENAME TABLE canary.events TO canary.x
OPTIMIZE TABLE canary.events FINAL
UNDROP TABLE canary.events
CREATE TABLE canary.x (a UInt8) ENGINE=Memory
CREATE TEMPORARY TABLE x (a UInt8)
CREATE TABLE canary.x ENGINE=Memory AS SELECT 1
CREATE MATERIALIZED VIEW canary.x ENGINE=Memory AS SELECT 1
CREATE LIVE VIEW canary.x AS SELECT 1
CREATE DICTIONARY canary.x (a UInt8) PRIMARY KEY a SOURCE(NULL()) LAYOUT(FLAT())
CREATE FUNCTION x AS (a) -> a
CREATE USER x
CREATE ROLE x
CREATE QUOTA x
CREATE ROW POLICY x ON canary.events USING 1
CREATE NAMED COLLECTION x AS a=1
ALTER NAMED COLLECTION x SET a=1
DROP NAMED COLLECTION x
CREATE WORKLOAD x
CREATE RESOURCE x (READ ANY DISK)
SET readonly=0
SET ROLE ALL
SET max_threads=1
SET TRANSACTION SNAPSHOT 1
BEGIN TRANSACTION
COMMIT
ROLLBACK
USE canary
KILL QUERY WHERE 1
KILL MUTATION WHERE 1
KILL QUERY WHERE query_id='x' SYNC
SYSTEM FLUSH LOGS
SYSTEM DROP MARK CACHE
SYSTEM RELOAD CONFIG
SYSTEM RELOAD DICTIONARIES
SYSTEM STOP FETCHES
SYSTEM SYNC REPLICA canary.events
SYSTEM DROP DNS CACHE
SYSTEM KILL
SYSTEM CLEAR QUERY CACHE
SYSTEM ENABLE FAILPOINT x
SYSTEM UNFREEZE WITH NAME 'x'
SYSTEM JEMALLOC PURGE
BACKUP DATABASE canary TO Disk('x','y')
RESTORE TABLE canary.events FROM Disk('x','y')
GRANT SELECT ON *.* TO x
REVOKE ALL ON *.* FROM default
MOVE USER x TO y
WATCH canary.events
EXECUTE AS default SELECT 1
PREPARE x
SELECT * FROM canary.events INTO OUTFILE '/tmp/a_out.csv'
SELECT * FROM canary.events INTO OUTFILE '/tmp/a_out.csv' TRUNCATE FORMAT CSV
SELECT * FROM canary.events INTO OUTFILE '/tmp/a_out.csv' AND STDOUT
(SELECT 1) INTO OUTFILE '/tmp/a_out2.csv'
SELECT 1 UNION ALL SELECT 2 INTO OUTFILE '/tmp/a_out3.csv'
EXPLAIN SELECT 1 INTO OUTFILE '/tmp/a_out4.csv'
SHOW TABLES INTO OUTFILE '/tmp/a_out5.csv'
DESCRIBE canary.events INTO OUTFILE '/tmp/a_out6.csv'
SHOW CREATE TABLE canary.events INTO OUTFILE '/tmp/a_out7.csv'
EXISTS canary.events INTO OUTFILE '/tmp/a_out8.csv'
CHECK TABLE canary.events INTO OUTFILE '/tmp/a_out9.csv'
WITH 1 AS x SELECT x INTO OUTFILE '/tmp/a_out10.csv' COMPRESSION 'gz'
SELECT 1 INTO DUMPFILE '/tmp/a'
SELECT * FROM file('/etc/passwd', 'LineAsString', 'l String')
SELECT * FROM file('x.csv')
SELECT file('/etc/passwd')
SELECT file('/etc/passwd', 'default')
SELECT * FROM fileCluster('default','/etc/passwd','LineAsString','l String')
SELECT * FROM '/etc/passwd'
SELECT * FROM `/etc/passwd`
SELECT * FROM "/etc/passwd"
SELECT * FROM `file`('/etc/passwd')
SELECT * FROM "file"('/etc/passwd','LineAsString')
SELECT * FROM FILE('/etc/passwd','LineAsString')
SELECT * FROM filesystem('/etc')
SELECT * FROM url('http://127.0.0.1:9/','CSV','a String')
SELECT * FROM Url('http://127.0.0.1:9/')
SELECT * FROM 'http://127.0.0.1:9/x.csv'
SELECT * FROM (SELECT * FROM url('http://127.0.0.1:9/','CSV','a String'))
SELECT (SELECT a FROM url('http://127.0.0.1:9/','CSV','a String'))
SELECT 1 IN (SELECT a FROM url('http://127.0.0.1:9/','CSV','a UInt8'))
SELECT 1 WHERE EXISTS (SELECT * FROM url('http://127.0.0.1:9/','CSV','a UInt8'))
SELECT * FROM canary.events JOIN url('http://127.0.0.1:9/','CSV','id UInt64') USING id
SELECT * FROM view(SELECT * FROM url('http://127.0.0.1:9/','CSV','a String'))
SELECT * FROM viewExplain('EXPLAIN','',(SELECT * FROM url('http://127.0.0.1:9/','CSV','a String')))
SELECT * FROM (EXPLAIN SELECT * FROM url('http://127.0.0.1:9/','CSV','a String'))
SELECT * FROM merge('canary', '.*') UNION ALL SELECT * FROM url('http://127.0.0.1:9/')
WITH x AS (SELECT * FROM url('http://127.0.0.1:9/')) SELECT 1
WITH (SELECT a FROM url('http://127.0.0.1:9/','CSV','a String')) AS y SELECT y
DESCRIBE url('http://127.0.0.1:9/')
DESCRIBE TABLE url('http://127.0.0.1:9/')
DESC TABLE s3('http://127.0.0.1:9/x.csv')
DESCRIBE (SELECT * FROM url('http://127.0.0.1:9/'))
EXPLAIN SYNTAX SELECT * FROM url('http://127.0.0.1:9/')
EXPLAIN QUERY TREE SELECT * FROM url('http://127.0.0.1:9/')
EXPLAIN ESTIMATE SELECT * FROM url('http://127.0.0.1:9/')
EXPLAIN PIPELINE SELECT * FROM url('http://127.0.0.1:9/')
EXPLAIN TABLE OVERRIDE mysql('127.0.0.1:9','d','t','u','p') PARTITION BY x
EXISTS TABLE url('http://127.0.0.1:9/')
SHOW CREATE TABLE url('http://127.0.0.1:9/')
SELECT * FROM remote('127.0.0.1:9', 'canary', 'events')
SELECT * FROM remote('127.0.0.1', canary.events)
SELECT * FROM remoteSecure('127.0.0.1:9', canary.events)
SELECT * FROM cluster('x', url('http://127.0.0.1:9/'))
SELECT * FROM clusterAllReplicas('default', system.one)
SELECT * FROM mysql('127.0.0.1:9','d','t','u','p')
SELECT * FROM postgresql('127.0.0.1:9','d','t','u','p')
SELECT * FROM mongodb('127.0.0.1:9','d','c','u','p','a String')
SELECT * FROM redis('127.0.0.1:9','k','k String, v String')
SELECT * FROM sqlite('/tmp/x.db','t')
SELECT * FROM jdbc('jdbc:x','t')
SELECT * FROM odbc('DSN=x','t')
SELECT * FROM hdfs('hdfs://127.0.0.1:9/x','CSV','a String')
SELECT * FROM s3('http://127.0.0.1:9/x','CSV','a String')
SELECT * FROM gcs('http://127.0.0.1:9/x','CSV','a String')
SELECT * FROM azureBlobStorage('x','y','z','CSV','auto','auto','a String')
SELECT * FROM iceberg('http://127.0.0.1:9/x')
SELECT * FROM deltaLake('http://127.0.0.1:9/x')
SELECT * FROM hudi('http://127.0.0.1:9/x')
SELECT * FROM paimon('http://127.0.0.1:9/x')
SELECT * FROM ytsaurus('x','y','z','a String')
SELECT * FROM executable('id','TSV','a String')
SELECT * FROM executable('x.py', TabSeparated, 'a String', (SELECT 1))
SELECT * FROM python('x')
SELECT * FROM Python(x)
SELECT * FROM dictionary('canary.x')
SELECT * FROM input('a UInt8')
SELECT * FROM loop(canary.events)
SELECT * FROM loop(numbers(3))
SELECT * FROM fuzzJSON('{}', 1)
SELECT * FROM prometheusQuery('x','y')
SELECT * FROM timeSeriesData('x','y')
SELECT * FROM system.named_collections
SELECT * FROM system.users
SELECT * FROM system.user_directories
SELECT * FROM system.stack_trace
SELECT auth_params FROM system.users
SELECT * FROM (SELECT * FROM system.users)
SELECT * FROM merge('system', 'users')
SELECT * FROM merge('system', '^named_coll')
SELECT * FROM merge(REGEXP('sys.*'), 'user')
SELECT * FROM `system`.`users`
SELECT * FROM SYSTEM.USERS
SELECT * FROM system.zookeeper WHERE path='/'
SELECT * FROM system.crash_log
SHOW CREATE USER default
SHOW CREATE USERS
SHOW ACCESS
SHOW USERS
SHOW NAMED COLLECTIONS
SELECT sleep(3)
SELECT sleepEachRow(1) FROM numbers(10)
SELECT sleep(0.1)
SELECT throwIf(1), sleep(1)
SELECT hasColumnInTable('127.0.0.1:9','u','p','d','t','c')
SELECT addressToLine(1)
SELECT demangle(addressToSymbol(1))
SELECT catboostEvaluate('/x',1)
SELECT logTrace('x')
SELECT getClientHTTPHeader('x')
SELECT generateSerialID('x')
SELECT trap('access violation')
SELECT kind FROM canary.events ORDER BY file('/etc/passwd')
SELECT * APPLY(file) FROM (SELECT '/etc/passwd')
SELECT * APPLY(x -> file(x)) FROM (SELECT '/etc/passwd')
SELECT arrayMap(x -> file(x), ['/etc/passwd'])
SELECT arrayMap(file, ['/etc/passwd'])
SELECT if(1, file('/etc/passwd'), '')
SELECT row_number() OVER (ORDER BY file('/etc/passwd'))
SELECT count() OVER w FROM numbers(1) WINDOW w AS (ORDER BY sleep(1))
SELECT * FROM numbers(1) LIMIT sleep(1)
SELECT * REPLACE (file('/etc/passwd') AS number) FROM numbers(1)
SELECT sumIf(number, sleep(1)=0) FROM numbers(3)
SELECT number FROM numbers(3) WHERE sleepEachRow(1)=0
SELECT number FROM numbers(3) QUALIFY sleep(1)=0
SELECT n FROM (SELECT number n FROM numbers(3)) ORDER BY n WITH FILL INTERPOLATE (n AS sleep(1))
SELECT arrayJoin([sleep(1)])
SELECT * FROM values('a String', (file('/etc/passwd')))
SELECT * FROM numbers(sleep(1))
SELECT * FROM generateRandom(file('/etc/passwd'))
SELECT 1 SETTINGS readonly=0
SELECT 1 SETTINGS readonly=2
SELECT 1 SETTINGS max_execution_time=0
SELECT 1 SETTINGS max_memory_usage=0
SELECT 1 SETTINGS allow_ddl=1
SELECT 1 SETTINGS allow_introspection_functions=1
SELECT 1 SETTINGS format_display_secrets_in_show_and_select=1
SELECT 1 SETTINGS stream_like_engine_allow_direct_select=1
SELECT 1 SETTINGS output_format_schema='/tmp/x'
SELECT 1 SETTINGS format_schema='x'
SELECT 1 SETTINGS http_response_headers='{}'
SELECT 1 SETTINGS log_queries=0
SELECT 1 SETTINGS s3_truncate_on_insert=1
SELECT * FROM (SELECT 1 SETTINGS readonly=0)
SELECT (SELECT 1 SETTINGS max_memory_usage=99999999999)
SELECT 1 SETTINGS custom_x=1
SELECT 1 SETTINGS use_query_cache=1
SELECT 1 SETTINGS profile='x'
SELECT 1 SETTINGS param_x='y'
SELECT 1 settings readonly = 0, max_threads = 1
SELECT 1 FORMAT JSON SETTINGS readonly=0
SELECT 1 /*! ; DROP TABLE canary.events */; DROP TABLE canary.events
SELECT 1; DROP TABLE canary.events
SELECT 1;INSERT INTO canary.kw VALUES (1,1)
SELECT ';' ; DROP TABLE canary.events
SELECT '\'' ; DROP TABLE canary.events; --'
SELECT $$;$$; DROP TABLE canary.events
SELECT 1 PARALLEL WITH DROP TABLE canary.events
(DROP TABLE canary.events)
DROP TABLE canary.events PARALLEL WITH DROP TABLE canary.quotes
EXPLAIN PLAN SELECT sleep(3)
EXPLAIN SELECT file('/etc/passwd')
EXPLAIN SYNTAX SELECT file('/etc/passwd')
EXPLAIN QUERY TREE SELECT file('/etc/passwd')
DESCRIBE (SELECT file('/etc/passwd') AS x)
SHOW TABLES WHERE file('/etc/passwd') != ''
SHOW DATABASES WHERE sleep(1) = 0
SHOW TABLES LIKE 'x' LIMIT sleep(1)
SHOW COLUMNS FROM canary.events WHERE name IN (SELECT * FROM url('http://127.0.0.1:9/'))
SELECT * FROM canary.events SAMPLE sleep(1)
SELECT dictGet('x','y',file('/etc/passwd'))
SELECT joinGet('canary.x','a',file('/etc/passwd'))
SELECT * FROM viewIfPermitted(SELECT 1 AS a ELSE url('http://127.0.0.1:9/','CSV','a UInt8'))
SELECT 1 WHERE 1 IN url('http://127.0.0.1:9/')
SELECT 'x' IN system.users
SELECT * FROM merge('sys' || 'tem', 'users')
SELECT * FROM numbers(1) ANY LEFT JOIN (SELECT * FROM file('/etc/passwd','LineAsString','number UInt64')) USING number
SELECT number FROM numbers(2) ORDER BY number WITH FILL FROM 0 TO sleep(1)
SELECT mapApply((k, v) -> (k, file(v)), map('a','/etc/passwd'))
SELECT COLUMNS('n') APPLY(x -> file('/etc/passwd')) FROM numbers(1)
WITH (x -> file(x)) AS f SELECT f('/etc/passwd')
SELECT $x$ ' $x$, sleep(1), $x$ ' $x$
SELECT 1 SETTINGS dialect='kusto'
SELECT 1 SETTINGS send_logs_level='trace'
SELECT 1 SETTINGS input_format_record_errors_file_path='/tmp/x'
SELECT 1 SETTINGS implicit_table_at_top_level='system.users'
SELECT 1 SETTINGS enable_s3_requests_logging=1
SELECT * FROM format(CSV, '1,2')
SELECT format('{}', 1), (SELECT count() FROM format(CSV, '1,2'))
SELECT 1 SETTINGS additional_table_filters={'a':'1'}
SELECT 1 SETTINGS additional_result_filter='sleep(1)=0'
