-- Reads, one a line: none may be refused. Some need a later release.
SELECT count() FROM canary.events
SELECT kind, count(), avg(v), quantile(0.9)(v), quantiles(0.5,0.9)(v), quantileTDigest(0.9)(v), uniq(id), uniqExact(id), uniqCombined(12)(id), topK(3)(kind) FROM canary.events GROUP BY kind
SELECT sumIf(v, id > 5), countIf(kind='a'), avgOrNull(v), sumMap(map('a',1)), groupArray(3)(id), groupUniqArray(kind), argMax(id, v), anyLast(kind), any(kind) FROM canary.events
SELECT sumState(v), finalizeAggregation(sumState(v)) FROM canary.events
SELECT arrayMap(x -> x*2, [1,2,3]), arrayFilter(x -> x > 1, [1,2]), arrayReduce('sum',[1,2]), arrayZip([1],[2]), arraySort((x,y)->y,[1,2],[2,1]), arrayFold((a,x)->a+x,[1,2],toInt64(0)), arrayExists(x->x=1,[1]), arrayCumSum([1,2]), arrayEnumerate([1,2]), arrayDistinct([1,1]), arrayFlatten([[1],[2]]), arraySlice([1,2,3],1,2), arrayStringConcat(['a','b'],','), has([1],1), indexOf([1],1), hasAny([1],[1])
SELECT e.id, q.q FROM canary.events e ASOF JOIN canary.quotes q ON e.id = q.id AND e.ts >= q.ts LIMIT 5
SELECT e.id, q.q FROM canary.events e ASOF LEFT JOIN canary.quotes q USING (id, ts) LIMIT 5
SELECT * FROM canary.events e ANY LEFT JOIN canary.quotes q ON e.id=q.id LIMIT 2
SELECT * FROM canary.events e SEMI JOIN canary.quotes q ON e.id=q.id LIMIT 2
SELECT * FROM canary.events e ANTI JOIN canary.quotes q ON e.id=q.id LIMIT 2
SELECT * FROM canary.events e GLOBAL ANY INNER JOIN canary.quotes q ON e.id=q.id LIMIT 2
SELECT * FROM canary.events e FULL OUTER JOIN canary.quotes q ON e.id=q.id LIMIT 2
SELECT * FROM canary.events CROSS JOIN canary.quotes LIMIT 2
SELECT * FROM canary.events PASTE JOIN canary.quotes LIMIT 2
SELECT id FROM canary.events WHERE id GLOBAL IN (SELECT id FROM canary.quotes) LIMIT 2
SELECT id FROM canary.events WHERE (id, kind) IN ((1,'b'),(2,'c'))
SELECT toStartOfDay(ts) AS d, count() FROM canary.events GROUP BY d ORDER BY d WITH FILL FROM toDateTime('2026-11-19 00:00:00') TO toDateTime('2026-11-22 00:00:00') STEP INTERVAL 1 DAY
SELECT n, s FROM (SELECT number AS n, toString(number) AS s FROM numbers(10) WHERE number % 3 = 0) ORDER BY n WITH FILL INTERPOLATE (s AS s)
SELECT kind, id FROM canary.events ORDER BY kind, id LIMIT 2 BY kind
SELECT kind, id FROM canary.events ORDER BY kind LIMIT 1 OFFSET 1 BY kind LIMIT 5
SELECT * FROM canary.events ORDER BY id LIMIT 5 WITH TIES
SELECT TOP 3 id FROM canary.events ORDER BY id
SELECT DISTINCT ON (kind) kind, id FROM canary.events
SELECT kind, count() FROM canary.events GROUP BY kind WITH ROLLUP
SELECT kind, id%2 AS m, count() FROM canary.events GROUP BY kind, m WITH CUBE
SELECT kind, id%2 AS m, count(), grouping(kind) FROM canary.events GROUP BY GROUPING SETS ((kind),(m),())
SELECT kind, count() FROM canary.events GROUP BY ALL
SELECT count() FROM canary.events PREWHERE id > 5 WHERE kind='a'
SELECT count() FROM canary.events SAMPLE 1/10 OFFSET 1/2
SELECT id, sum(v) OVER (PARTITION BY kind ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s, row_number() OVER w, lagInFrame(v) OVER w, leadInFrame(v,1,0) OVER w, dense_rank() OVER w, first_value(v) OVER w, nth_value(v,2) OVER w FROM canary.events WINDOW w AS (PARTITION BY kind ORDER BY id) LIMIT 5
SELECT id FROM canary.events QUALIFY row_number() OVER (PARTITION BY kind ORDER BY id) = 1
WITH (SELECT max(v) FROM canary.events) AS m SELECT m, count() FROM canary.events WHERE v = m
WITH x AS (SELECT 1 AS a), y AS (SELECT a+1 AS b FROM x) SELECT * FROM y
WITH 5 AS n SELECT n * 2
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n+1 FROM t WHERE n < 10) SELECT sum(n) FROM t
SELECT map('a',1,'b',2) AS m, m['a'], mapKeys(m), mapValues(m), mapContains(m,'a'), mapFilter((k,v)->v>1, m), mapApply((k,v)->(k,v+1), m), mapFromArrays(['a'],[1]), mapAdd(m,m)
SELECT tuple(1,'a') AS t, t.1, tupleElement(t,2), untuple(t), (1,2)+(3,4), tupleHammingDistance((1,2),(1,3)), CAST((1,'a') AS Tuple(x UInt8, y String)) AS n, n.x
SELECT toTypeName(CAST(1 AS LowCardinality(Nullable(UInt8)))), toDecimal64(1.5,2), toUInt256(1), toDateTime64(0,3,'UTC'), toIPv4('1.2.3.4'), toUUID('61f0c404-5cb3-11e7-907b-a6006ad3dba0'), toFixedString('a',2), toEnum8 FROM (SELECT CAST('a' AS Enum8('a'=1)) AS toEnum8)
SELECT JSONExtractString('{"a":"b"}','a'), JSONExtract('{"a":[1]}','a','Array(UInt8)'), JSONHas('{}','a'), JSONLength('[1]'), JSON_VALUE('{"a":1}','$.a'), JSON_QUERY('{"a":1}','$.a'), simpleJSONExtractInt('{"a":1}','a'), JSONExtractKeysAndValues('{"a":"b"}','String'), isValidJSON('{}'), JSONExtractRaw('{"a":1}','a')
SELECT '{"a":1}'::JSON AS j, j.a
SELECT toStartOfInterval(now(), INTERVAL 5 MINUTE), dateDiff('day', now(), now()), addDays(today(),1), formatDateTime(now(),'%Y'), parseDateTimeBestEffort('2026-01-01'), toUnixTimestamp(now()), toTimeZone(now(),'UTC'), dateName('month', now()), toYearWeek(now()), toRelativeHourNum(now()), timeSlot(now()), date_trunc('hour', now()), fromUnixTimestamp(0), now64(3), makeDate(2026,1,1), age('day', now(), now()), toMonday(today())
SELECT splitByChar(',','a,b'), extractAll('a1b2','\\d'), replaceRegexpAll('abc','b','x'), match('abc','b'), multiSearchAny('abc',['b']), position('abc','b'), like('abc','a%'), ilike('ABC','a%'), 'abc' REGEXP 'a', substring('abc',1,2), lower('A'), reverse('ab'), concat('a','b'), format('{} {}','a','b'), trim(BOTH ' ' FROM ' a '), base64Encode('a'), hex('a'), lpad('a',3), ngrams('abc',2), tokens('a b'), soundex('a'), levenshteinDistance('a','b'), countSubstrings('aa','a'), initcap('a b'), leftPad('a',3,'x'), repeat('a',3), appendTrailingCharIfAbsent('a','b'), extractURLParameter('http://a?b=c','b'), domain('http://a.b/c'), path('http://a/b'), cutQueryString('http://a?b'), URLHierarchy('http://a/b'), protocol('http://a')
SELECT cityHash64('a'), sipHash64('a'), MD5('a'), SHA256('a'), xxHash64('a'), murmurHash3_64('a'), halfMD5('a'), intHash64(1), CRC32('a'), javaHash('a')
SELECT if(1,2,3), multiIf(1,2,3), CASE WHEN 1 THEN 2 ELSE 3 END, coalesce(NULL,1), ifNull(NULL,1), nullIf(1,1), isNull(1), assumeNotNull(1), greatest(1,2), least(1,2), transform(1,[1],[2],0)
SELECT intDiv(7,2), modulo(7,2), pow(2,3), exp(1), log(2), round(1.55,1), floor(1.5), ceil(1.5), bitAnd(1,3), bitShiftLeft(1,2), gcd(4,6), sign(-1), isFinite(1), isNaN(1), erf(1), width_bucket(5,0,10,5), degrees(1)
SELECT geoDistance(1,2,3,4), greatCircleDistance(1,2,3,4), pointInPolygon((1,1),[(0,0),(2,0),(2,2),(0,2)]), geohashEncode(1,2), h3IsValid(1)
SELECT L2Distance([1,2],[3,4]), cosineDistance([1,2],[3,4]), dotProduct([1,2],[3,4])
SELECT bitmapBuild([1,2]), bitmapCardinality(bitmapBuild([1,2])), bitmapToArray(bitmapAnd(bitmapBuild([1,2]),bitmapBuild([2])))
SELECT retention(kind='a', kind='b'), windowFunnel(10)(ts, kind='a', kind='b'), sequenceMatch('(?1)(?2)')(ts, kind='a', kind='b'), sequenceCount('(?1)(?2)')(ts, kind='a', kind='b') FROM canary.events
SELECT corr(v,id), covarPop(v,id), stddevPop(v), varSamp(v), skewPop(v), kurtPop(v), simpleLinearRegression(v,id), median(v), entropy(kind), histogram(5)(v), exponentialMovingAverage(5)(v,id) FROM canary.events
SELECT groupBitAnd(id), groupBitmap(id), groupArrayInsertAt(kind,id), groupArraySorted(3)(id), groupConcat(',')(kind), maxMap(map(kind,v)), deltaSum(v), boundingRatio(id,v), mannWhitneyUTest('two-sided')(v,id%2) FROM canary.events
SELECT ts, runningDifference(v), neighbor(v,1), rowNumberInAllBlocks(), runningAccumulate(s) FROM (SELECT ts, v, sumState(v) AS s FROM canary.events GROUP BY ts, v ORDER BY ts) LIMIT 3 SETTINGS allow_deprecated_error_prone_window_functions=1
SELECT * FROM numbers(5)
SELECT * FROM numbers_mt(5)
SELECT number FROM system.numbers LIMIT 5
SELECT * FROM system.one
SELECT * FROM generate_series(1,10,2)
SELECT * FROM generateSeries(1,3)
SELECT * FROM generateRandom('a UInt8, b String', 1, 5, 2) LIMIT 3
SELECT * FROM values('a UInt8, b String', (1,'x'), (2,'y'))
SELECT * FROM VALUES('a UInt8', 1, 2)
SELECT * FROM merge('canary','^(events|quotes)$') LIMIT 2
SELECT * FROM view(SELECT 1 AS x)
SELECT * FROM null('x Int8')
SELECT * FROM primes() LIMIT 5
SELECT * FROM mergeTreeIndex(canary, events) LIMIT 2
SELECT * EXCEPT (v) FROM canary.events LIMIT 1
SELECT * REPLACE (v*2 AS v) FROM canary.events LIMIT 1
SELECT * APPLY(toString) FROM canary.events LIMIT 1
SELECT COLUMNS('^t') APPLY(x -> toString(x)) FROM canary.events LIMIT 1
SELECT COLUMNS(id, kind) FROM canary.events LIMIT 1
SELECT canary.events.* FROM canary.events LIMIT 1
SELECT id AS x, x + 1 AS y, y * 2 FROM canary.events LIMIT 2
SELECT * FROM (SELECT id FROM canary.events UNION ALL SELECT id FROM canary.quotes) LIMIT 3
SELECT 1 UNION DISTINCT SELECT 1
SELECT 1 INTERSECT SELECT 1
SELECT 1 EXCEPT SELECT 2
(SELECT 1) UNION ALL (SELECT 2)
FROM canary.events SELECT count()
SELECT arrayJoin([1,2,3]) AS x, x * 2
SELECT id, t, n FROM canary.events ARRAY JOIN tags AS t, arrayEnumerate(tags) AS n LIMIT 3
SELECT `insert`, `drop` FROM canary.kw
SELECT "drop" FROM canary.kw
SELECT 'INSERT INTO x; DROP TABLE y' AS s, '--x', '/* y */'
SELECT 1 -- DROP TABLE x
SELECT /* INSERT */ 1
SELECT 1; 
SELECT 0x1F, 0b11, 1e3, inf, nan, NULL, true, 1_000
SELECT 'it\'s', 'it''s', 'tab\t', 'uniñ'
SELECT $$a 'b' c$$
SELECT -1, NOT 1, 1 BETWEEN 0 AND 2, 1 IN (1,2), 'a' LIKE 'b', 1 <=> 1, 1 == 1, 1 ? 2 : 3, [1,2][1], (1,2).1, 5 DIV 2, 5 MOD 2, 'a' || 'b', 1::UInt8, CAST(1 AS String), CAST(1,'String'), INTERVAL 1 DAY, DATE '2026-01-01', TIMESTAMP '2026-01-01 00:00:00', EXTRACT(YEAR FROM now())
SELECT * FROM canary.events WHERE ts >= now() - INTERVAL 7 DAY AND has(tags,'x') SETTINGS max_threads=1, join_algorithm='hash'
SELECT count() FROM canary.events SETTINGS max_execution_time=5, use_uncompressed_cache=0, optimize_read_in_order=1
SELECT count() FROM canary.events FORMAT JSON
SELECT count() FROM canary.events FORMAT TabSeparatedWithNames
SELECT * FROM canary.events LIMIT 2 FORMAT Vertical
SELECT * FROM canary.events LIMIT 1 SETTINGS output_format_json_quote_64bit_integers=1 FORMAT JSONEachRow
SHOW DATABASES
SHOW TABLES FROM canary
SHOW TABLES FROM canary LIKE '%e%'
SHOW FULL TABLES FROM canary
SHOW TABLES FROM canary WHERE name = 'events'
SHOW CREATE DATABASE canary
SHOW CREATE canary.events
SHOW COLUMNS FROM events FROM canary
SHOW INDEXES FROM canary.events
SHOW FUNCTIONS LIKE 'sum%'
SHOW ENGINES
SHOW SETTINGS LIKE 'max_threads'
SHOW CHANGED SETTINGS ILIKE '%mem%'
SHOW SETTING max_threads
SHOW PROCESSLIST
SHOW GRANTS
SHOW CURRENT ROLES
SHOW CLUSTERS
SHOW DICTIONARIES
SHOW MERGES
SHOW FILESYSTEM CACHES
SHOW PRIVILEGES
SHOW CREATE VIEW canary.events
DESCRIBE TABLE canary.events
DESC canary.events
DESCRIBE (SELECT id, kind FROM canary.events)
DESCRIBE numbers(3)
DESCRIBE TABLE numbers(3)
EXISTS canary.events
EXISTS DATABASE canary
EXISTS TABLE canary.nope
EXISTS VIEW canary.events
EXISTS DICTIONARY canary.x
CHECK TABLE canary.events
EXPLAIN SELECT * FROM canary.events WHERE id=1
EXPLAIN PLAN indexes=1, actions=1 SELECT * FROM canary.events WHERE id=1
EXPLAIN PLAN json=1 SELECT 1
EXPLAIN header=1 SELECT 1
EXPLAIN SYNTAX SELECT * FROM canary.events
EXPLAIN SYNTAX oneline=1 SELECT 1
EXPLAIN QUERY TREE SELECT id FROM canary.events
EXPLAIN QUERY TREE run_passes=1, dump_ast=1 SELECT 1
EXPLAIN PIPELINE graph=1 SELECT count() FROM canary.events
EXPLAIN ESTIMATE SELECT count() FROM canary.events WHERE id>5
EXPLAIN AST ALTER TABLE x DELETE WHERE 1
SELECT name, total_rows, formatReadableSize(total_bytes) FROM system.tables WHERE database='canary'
SELECT * FROM system.columns WHERE database='canary' LIMIT 2
SELECT * FROM system.parts WHERE database='canary' LIMIT 2
SELECT * FROM system.parts_columns LIMIT 1
SELECT partition, sum(rows) FROM system.parts WHERE active GROUP BY partition
SELECT * FROM system.databases
SELECT * FROM system.functions LIMIT 2
SELECT * FROM system.table_functions LIMIT 2
SELECT * FROM system.table_engines LIMIT 2
SELECT * FROM system.settings LIMIT 2
SELECT * FROM system.merge_tree_settings LIMIT 2
SELECT * FROM system.server_settings LIMIT 2
SELECT * FROM system.metrics LIMIT 2
SELECT * FROM system.events LIMIT 2
SELECT * FROM system.asynchronous_metrics LIMIT 2
SELECT * FROM system.processes
SELECT * FROM system.merges
SELECT * FROM system.mutations
SELECT * FROM system.replicas
SELECT * FROM system.replication_queue
SELECT * FROM system.clusters
SELECT * FROM system.macros
SELECT * FROM system.disks
SELECT * FROM system.storage_policies
SELECT * FROM system.dictionaries
SELECT * FROM system.formats LIMIT 1
SELECT * FROM system.data_type_families LIMIT 1
SELECT * FROM system.collations LIMIT 1
SELECT * FROM system.time_zones LIMIT 1
SELECT * FROM system.licenses LIMIT 1
SELECT * FROM system.build_options LIMIT 1
SELECT * FROM system.contributors LIMIT 1
SELECT * FROM system.detached_parts
SELECT * FROM system.detached_tables
SELECT * FROM system.data_skipping_indices
SELECT * FROM system.projections
SELECT * FROM system.current_roles
SELECT * FROM system.enabled_roles
SELECT * FROM system.privileges LIMIT 1
SELECT * FROM system.errors LIMIT 1
SELECT * FROM system.warnings
SELECT * FROM system.moves
SELECT * FROM system.backups
SELECT * FROM system.distribution_queue
SELECT * FROM system.keywords LIMIT 1
SELECT * FROM system.codecs LIMIT 1
SELECT * FROM system.zeros LIMIT 3
SELECT * FROM system.numbers_mt LIMIT 3
SELECT * FROM system.query_cache
SELECT * FROM system.schema_inference_cache
SELECT * FROM system.dns_cache
SELECT * FROM system.user_processes
SELECT * FROM system.graphite_retentions
SELECT * FROM system.view_refreshes
SELECT * FROM system.s3queue
SELECT * FROM system.query_log LIMIT 1
SELECT * FROM INFORMATION_SCHEMA.TABLES LIMIT 1
SELECT * FROM information_schema.columns LIMIT 1
SELECT * FROM information_schema.schemata
SELECT * FROM information_schema.key_column_usage LIMIT 1
SELECT version(), uptime(), hostName(), currentDatabase(), currentUser(), timezone(), serverUUID(), tcpPort(), getSetting('max_threads'), getServerSetting('max_connections'), connectionId(), queryID(), fqdn(), getMacro('x') IS NULL
SELECT version(), uptime(), hostName(), currentDatabase(), currentUser(), timezone(), tcpPort(), getSetting('max_threads'), USER(), DATABASE(), now(), today(), yesterday(), rand(), generateUUIDv4(), randomString(3), randNormal(0,1)
SELECT formatReadableSize(1000), formatReadableQuantity(1000), formatReadableTimeDelta(1000), bar(5,0,10), toTypeName(1), dumpColumnStructure(1), ignore(1), materialize(1), identity(1), blockNumber(), defaultValueOfTypeName('UInt8'), isConstant(1), byteSize(1), toColumnTypeName(1), visibleWidth('a')
SELECT * FROM canary.events WHERE _part != '' LIMIT 1
SELECT _part, _partition_id, _part_index, _table, count() FROM canary.events GROUP BY ALL
SELECT count() FROM merge(currentDatabase(), '.*')
SELECT URLDecode('a%20b'), IPv4NumToString(1), IPv6NumToString(toIPv6('::1')), isIPv4String('1.2.3.4'), IPv4CIDRToRange(toIPv4('1.2.3.4'),8)
SELECT toInt32OrNull('x'), toFloat64OrZero('x'), accurateCastOrNull(1,'UInt8'), reinterpretAsUInt64('abc'), parseDateTime('2026','%Y'), toDateOrNull('x')
SELECT encrypt('aes-128-cbc','text','1234567890123456') != '', decrypt('aes-128-cbc', encrypt('aes-128-cbc','t','1234567890123456'),'1234567890123456')
SELECT detectLanguage('hello'), stem('en','running'), lemmatize('en','x')
SELECT normalizeQuery('select 1'), normalizedQueryHash('select 1'), formatQuery('select 1'), extractTextFromHTML('<a>x</a>')
SELECT seriesDecomposeSTL([1,2,3,4,5,6,7,8,9,10,11,12],3), seriesOutliersDetectTukey([1,2,3,4,5,6,7,8,9,100]), seriesPeriodDetectFFT([1,2,1,2,1,2,1,2])
SELECT tumbleStart(now(), INTERVAL 1 HOUR), hopStart(now(), INTERVAL 1 HOUR, INTERVAL 2 HOUR)
SELECT sum(v) AS total FROM canary.events HAVING total > 0
SELECT id, kind FROM canary.events ORDER BY ALL LIMIT 3
SELECT * FROM canary.events ORDER BY id DESC NULLS LAST COLLATE 'en' LIMIT 1
SELECT * FROM canary.events LIMIT 5, 3
SELECT * FROM canary.events OFFSET 2 ROWS FETCH FIRST 3 ROWS ONLY
SELECT (SELECT count() FROM canary.events) + (SELECT count() FROM canary.quotes)
SELECT EXISTS(SELECT 1 FROM canary.events WHERE id=5)
SELECT count(DISTINCT kind), sum(DISTINCT id), count(*) FILTER (WHERE id > 5) FROM canary.events
SELECT kind, sum(v) FROM canary.events GROUP BY 1 ORDER BY 2 DESC
SELECT any(v) RESPECT NULLS, first_value(v) IGNORE NULLS FROM canary.events
SELECT variantType(1::Variant(UInt8,String)), dynamicType(1::Dynamic)
SELECT * FROM canary.events WHERE not empty(tags) AND kind NOT IN ('x') AND NOT (id = 1 OR id = 2) LIMIT 1
SELECT arrayJoin(range(5)) AS n FORMAT CSV
SELECT fuzzBits('abc', 0.1) != '', randomFixedString(3), rand32(), rand64()
SELECT lag(v) OVER (ORDER BY id), percent_rank() OVER (ORDER BY id) FROM canary.events LIMIT 2
SELECT timeSeriesGroupArray(ts, v) FROM canary.events
SELECT hasToken('a b','a'), searchAny('a','a')
SELECT mortonEncode(1,2), hilbertEncode(1,2), sqidEncode(1)
SELECT kafkaMurmurHash('a'), kql_array_sort_asc([2,1])
SELECT toStartOfWeek(today()), toLastDayOfMonth(today()), subtractMonths(now(),1), monthName(now()), toISOWeek(now()), toDayOfYear(now()), UTCTimestamp(), timeSlots(now(), toUInt32(600)), toModifiedJulianDay('2026-01-01')
SELECT count() FROM canary.events SETTINGS enable_parallel_replicas=0, use_query_cache=0
SELECT * FROM canary.events FINAL LIMIT 1 SETTINGS do_not_merge_across_partitions_select_final=1, asterisk_include_materialized_columns=1
DESCRIBE canary.events SETTINGS describe_include_subcolumns=1
SELECT count() FROM canary.events SETTINGS input_format_null_as_default=1, max_rows_in_set_to_optimize_join=0, ignore_data_skipping_indices='x', enable_filesystem_cache=0
