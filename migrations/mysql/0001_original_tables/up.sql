-- The tables as the original manager and EMQX 4 have them: a database that holds them is taken over as it stands.
CREATE TABLE IF NOT EXISTS twin (
  clientId     varchar(80) NOT NULL PRIMARY KEY,
  reported     longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  reportedMeta longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  desired      longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  desiredMeta  longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  declined     longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL,
  declinedMeta longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8;

CREATE TABLE IF NOT EXISTS mqtt_acl (
  id       int(11) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  allow    int(1) DEFAULT 1,
  ipaddr   varchar(60) DEFAULT NULL,
  username varchar(100) DEFAULT NULL,
  clientid varchar(100) DEFAULT NULL,
  access   int(2) NOT NULL,
  topic    varchar(100) NOT NULL DEFAULT '',
  KEY (ipaddr),
  KEY (username),
  KEY (clientid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS mqtt_user (
  id           int(11) unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY,
  username     varchar(100) DEFAULT NULL UNIQUE,
  password     varchar(100) DEFAULT NULL,
  salt         varchar(35) DEFAULT NULL,
  is_superuser tinyint(4) DEFAULT 0,
  created      datetime DEFAULT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
