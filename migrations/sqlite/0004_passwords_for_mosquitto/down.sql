DROP TABLE twin_mosquitto;
